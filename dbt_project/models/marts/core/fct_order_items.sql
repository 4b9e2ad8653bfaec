{{ config(
    materialized='incremental',
    meta={'touched': {'order_key': 'int_orders__touched'}, 'held': {'order_key': 'held_order_key'}},
) }}

with items as (

    select * from {{ ref('int_order_items__dated') }}
    where {{ is_touched('order_key', 'int_orders__touched') }}

)

select
    order_key,
    line_number,
    source,
    customer_key,
    product_key,
    ordered_at,
    ordered_on,
    quantity,
    unit_price,
    unit_cost,
    line_amount,
    exchange_factor
from items
