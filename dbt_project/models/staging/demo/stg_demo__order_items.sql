{{ config(meta={'rebuilt_by': 'order'}) }}

with source as (

    select * from {{ raw_rows('demo', 'order_items') }}

),

renamed as (

    select
        -- ids
        {{ entity_key('demo', 'order_no') }} as order_key,
        'demo' as source,
        cast(line_no as integer) as line_number,
        -- the header names the buyer
        cast(null as {{ dbt.type_string() }}) as customer_key,
        {{ product_key('demo', 'sku') }} as product_key,

        -- facts
        cast(ordered_at as timestamp) as ordered_at,
        cast(quantity as decimal(18, 3)) as quantity,
        cast(unit_price as decimal(18, 4)) as unit_price,
        cast(unit_cost as decimal(18, 4)) as unit_cost,
        cast(line_amount as decimal(18, 4)) as line_amount

    from source

)

select * from renamed
