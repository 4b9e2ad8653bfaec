{{ config(
    materialized='incremental',
    meta={
        'rebuilt_by': 'product', 'grows': true,
        'touched': {'record_id': 'int_products__touched_records'},
    },
) }}

with lines as (

    select * from {{ raw_news('online_retail', 'transactions') }}

),

-- few pairs: the name is chosen among them instead of among the lines
descriptions as (

    select
        stock_code,
        description,
        max(case when {{ online_retail_line_kind() }} = 'sale' then invoiced_at end) as last_sold_at,
        max(invoiced_at) as last_seen_at
    from lines
    group by stock_code, description

),

names as (

    select
        'online_retail ' || {{ product_key('online_retail', 'stock_code') }} as record_id,
        trim(stock_code) as stock_code,
        nullif(trim(description), '') as product_name,
        last_sold_at,
        last_seen_at
    from descriptions

    {{- grown_before(
        ['record_id', 'stock_code', 'product_name', 'last_sold_at', 'last_seen_at'],
        'int_products__touched_records'
    ) }}

)

select
    record_id,
    stock_code,
    product_name,
    max(last_sold_at) as last_sold_at,
    max(last_seen_at) as last_seen_at
from names
group by record_id, stock_code, product_name
