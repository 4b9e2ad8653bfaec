{{ config(materialized='table') }}

with lines as (

    select * from {{ ref('fct_order_items') }}

),

headers as (

    select * from {{ ref('int_orders__unioned') }}

),

summed as (

    select
        order_key,
        min(source) as source,
        min_by(customer_key, case when customer_key is not null then line_number end) as customer_key,
        min_by(ordered_at, line_number) as ordered_at,
        count(*) as line_count,
        sum(quantity) as item_quantity,
        sum(line_amount) as gross_amount,
        count(unit_cost) as costed_line_count,
        sum(cast(quantity * unit_cost as decimal(18, 4))) as cost_amount
    from lines
    group by order_key

),

orders as (

    select
        coalesce(summed.order_key, headers.order_key) as order_key,
        coalesce(headers.source, summed.source) as source,
        coalesce(headers.customer_key, summed.customer_key) as customer_key,
        coalesce(summed.ordered_at, headers.ordered_at) as ordered_at,
        headers.channel,
        coalesce(summed.line_count, 0) as line_count,
        cast(coalesce(summed.item_quantity, 0) as decimal(18, 3)) as item_quantity,
        cast(coalesce(summed.gross_amount, 0) as decimal(18, 4)) as gross_amount,
        cast(
            case when summed.costed_line_count = summed.line_count then summed.cost_amount end
            as decimal(18, 4)
        ) as cost_amount
    from summed
    full outer join headers on summed.order_key = headers.order_key

),

dated as (

    select
        *,
        {{ business_day('ordered_at') }} as ordered_on
    from orders

),

looked_around as (

    select
        *,
        row_number() over customer_orders as order_number,
        lag(ordered_on) over customer_orders as previous_order_on,
        lag(ordered_on, 2) over customer_orders as second_previous_order_on,
        lag(ordered_on, 3) over customer_orders as third_previous_order_on,
        lead(ordered_on) over customer_orders as next_order_on
    from dated
    window customer_orders as (partition by customer_key order by ordered_at, order_key)

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
