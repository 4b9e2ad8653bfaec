{{ config(materialized='incremental', meta={'touched': {'order_key': 'int_orders__touched'}}) }}

with items as (

    select * from {{ ref('int_order_items__unioned') }}

),

orders as (

    select * from {{ ref('int_orders__unioned') }}

)

select
    items.order_key,
    items.line_number,
    items.source,
    items.customer_key,
    items.product_key,
    items.quantity,
    items.unit_price,
    items.unit_cost,
    items.line_amount
from items
left join orders on items.order_key = orders.order_key
where
    items.ordered_at is null
    and orders.order_key is null
    and {{ is_touched('items.order_key', 'int_orders__touched') }}
