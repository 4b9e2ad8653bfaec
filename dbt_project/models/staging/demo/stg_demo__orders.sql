{{ config(meta={'rebuilt_by': 'order'}) }}

with source as (

    select * from {{ raw_rows('demo', 'orders') }}

),

renamed as (

    select
        -- ids
        {{ entity_key('demo', 'order_no') }} as order_key,
        'demo' as source,
        {{ customer_key('demo', 'customer_no') }} as customer_key,

        -- facts
        cast(ordered_at as timestamp) as ordered_at,
        channel

    from source

)

select * from renamed
