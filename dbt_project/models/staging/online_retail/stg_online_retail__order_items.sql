{{ config(meta={'rebuilt_by': 'order'}) }}

with sales as (

    select * from {{ raw_rows('online_retail', 'transactions') }}
    where {{ online_retail_line_kind() }} = 'sale'

),

numbered as (

    select
        -- ids
        {{ entity_key('online_retail', 'invoice_no') }} as order_key,
        cast(row_number() over (partition by trim(invoice_no) order by _line, _file) as integer) as line_number,
        'online_retail' as source,
        {{ customer_key('online_retail', online_retail_customer_id()) }} as customer_key,
        {{ product_key('online_retail', 'stock_code') }} as product_key,

        -- facts
        invoiced_at as ordered_at,
        cast(quantity as decimal(18, 3)) as quantity,
        unit_price,
        cast(null as decimal(18, 4)) as unit_cost,
        cast(quantity * unit_price as decimal(18, 4)) as line_amount

    from sales

)

select * from numbered
