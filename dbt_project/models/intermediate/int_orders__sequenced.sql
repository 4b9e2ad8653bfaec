{{ config(
    materialized='incremental',
    meta={'touched': {'order_key': 'int_orders__touched', 'customer_key': 'int_customers__touched'}},
) }}

with orders as (

    select * from {{ ref('int_orders__summed') }}
    where
        {{ is_touched('customer_key', 'int_customers__touched') }}
        or (customer_key is null and {{ is_touched('order_key', 'int_orders__touched') }})

),

looked_around as (

    select
        *,
        row_number() over customer_orders as order_number,
        lag(ordered_on) over customer_orders as previous_order_on,
        lag(ordered_on, 2) over customer_orders as second_previous_order_on,
        lag(ordered_on, 3) over customer_orders as third_previous_order_on,
        lead(ordered_on) over customer_orders as next_order_on
    from orders
    window customer_orders as (
        -- a guest's order follows no other: else one more would change its neighbours, untouched
        partition by customer_key, case when customer_key is null then order_key end
        order by ordered_at, order_key
    )

),

gaps as (

    select
        *,
        {{ days_between('previous_order_on', 'ordered_on') }} as gap_days,
        {{ days_between('second_previous_order_on', 'previous_order_on') }} as previous_gap_days,
        {{ days_between('third_previous_order_on', 'second_previous_order_on') }} as second_previous_gap_days
    from looked_around

)

-- orders of unknown customers count everywhere but have no place in a sequence
select
    order_key,
    source,
    customer_key,
    ordered_at,
    ordered_on,
    channel,
    line_count,
    item_quantity,
    gross_amount,
    cost_amount,
    case when customer_key is not null then order_number end as order_number,
    case when customer_key is not null then gap_days end as gap_days,
    previous_order_on,
    -- are the customer's gaps getting shorter: with this order, and as it stood before it
    coalesce(gap_days < previous_gap_days, false) as is_shortening,
    coalesce(previous_gap_days < second_previous_gap_days, false) as was_shortening,
    coalesce(previous_order_on <> ordered_on, true) as is_first_of_day,
    coalesce(next_order_on <> ordered_on, true) as is_last_of_day,
    coalesce(next_order_on, cast('9999-12-31' as date)) as next_order_on
from gaps
