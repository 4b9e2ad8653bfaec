{{ config(
    materialized='incremental',
    meta={'touched': {'order_key': 'int_orders__touched', 'customer_key': 'int_customers__touched'}},
) }}

with orders as (

    select * from {{ ref('int_orders__sequenced') }}
    where
        {{ is_touched('customer_key', 'int_customers__touched') }}
        or {{ is_touched('order_key', 'int_orders__touched') }}

),

-- only returns that name their order lower it
returned as (

    select
        order_key,
        cast(sum(returned_amount) as decimal(18, 4)) as returned_amount
    from {{ ref('fct_returns') }}
    where order_key is not null
    group by order_key

),

netted as (

    select
        orders.*,
        coalesce(returned.returned_amount, 0) as returned_amount,
        orders.gross_amount - coalesce(returned.returned_amount, 0) as net_amount
    from orders
    left join returned on orders.order_key = returned.order_key

)

select
    order_key,
    source,
    customer_key,
    ordered_at,
    ordered_on,
    channel,
    line_count,
    item_quantity,
    cast(gross_amount as decimal(18, 2)) as gross_amount,
    cast(returned_amount as decimal(18, 2)) as returned_amount,
    cast(net_amount as decimal(18, 2)) as net_amount,
    cast(cost_amount as decimal(18, 2)) as cost_amount,
    cast(net_amount - cost_amount as decimal(18, 2)) as margin_amount,
    order_number,
    gap_days as days_since_previous_order
from netted
