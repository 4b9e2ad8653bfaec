{{ config(meta={'rebuilt_by': 'inventory'}) }}

with source as (

    select * from {{ raw_rows('demo', 'inventory') }}

),

renamed as (

    select
        -- ids
        {{ entity_key('demo', 'count_no') }} as inventory_key,
        'demo' as source,
        {{ product_key('demo', 'sku') }} as product_key,

        -- what was counted
        cast(counted_at as timestamp) as counted_at,
        cast(on_hand as decimal(18, 3)) as on_hand_quantity,
        cast(on_order as decimal(18, 3)) as on_order_quantity,
        cast(lead_time_days as integer) as lead_time_days

    from source

)

select * from renamed
