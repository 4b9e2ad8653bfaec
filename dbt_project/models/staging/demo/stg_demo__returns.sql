{{ config(meta={'rebuilt_by': 'order'}) }}

with source as (

    select * from {{ raw_rows('demo', 'returns') }}

),

renamed as (

    select
        -- ids
        {{ entity_key('demo', 'return_no') }} as return_key,
        {{ document_key('demo', 'order_no') }} as document_key,
        'demo' as source,
        {{ entity_key('demo', 'order_no') }} as order_key,
        {{ customer_key('demo', 'customer_no') }} as customer_key,
        {{ product_key('demo', 'sku') }} as product_key,

        -- facts
        cast(returned_at as timestamp) as returned_at,
        cast(quantity as decimal(18, 3)) as quantity,
        cast(amount as decimal(18, 4)) as returned_amount

    from source

)

select * from renamed
