{%- set orders = ref('int_orders__unioned') -%}

with items as (

    select * from {{ ref('int_order_items__unioned') }}

),

{% if is_fed('orders') -%}

orders as (

    select * from {{ orders }}

),

-- a line takes the time and the customer of its order where it has none of its own
dated as (

    select
        items.order_key,
        items.line_number,
        items.source,
        coalesce(items.customer_key, orders.customer_key) as customer_key,
        items.product_key,
        coalesce(items.ordered_at, orders.ordered_at) as ordered_at,
        items.quantity,
        items.unit_price,
        items.unit_cost,
        items.line_amount
    from items
    left join orders on items.order_key = orders.order_key

)

{%- else -%}

-- no enabled source has order headers, so the lines say it all
dated as (

    select * from items

)

{%- endif %},

kept as (

    select
        *,
        {{ business_day('ordered_at') }} as ordered_on
    from dated
    -- without a time the line is an orphan: see int_order_items__orphaned
    where ordered_at is not null

),

-- without a rate it is in int_without_rate
converted as (

    {{ in_company_currency('kept', 'order_items', 'kept.ordered_on', also=['ordered_on']) }}

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
from converted
