{{ config(materialized='incremental', meta={'touched': {'customer_key': 'int_customers__touched'}}) }}

with orders as (

    select * from {{ ref('int_orders__sequenced') }}
    where
        customer_key is not null
        and {{ is_touched('customer_key', 'int_customers__touched') }}

),

days as (

    select
        customer_key,
        ordered_on,
        count(*) as day_order_count,
        cast(sum(gross_amount) as decimal(18, 4)) as day_gross_amount,
        cast(sum(line_count) as bigint) as day_line_count,
        cast(sum(item_quantity) as decimal(18, 3)) as day_item_quantity,

        -- as it stood when the day began
        max(case when is_first_of_day then previous_order_on end) as previous_order_on,
        max(case when is_first_of_day then order_number - 1 end) as previous_order_count,
        bool_or(is_first_of_day and was_shortening) as was_shortening,

        -- as it stood when the day ended
        max(order_number) as order_count,
        max(case when order_number = 2 then ordered_on end) as second_order_on,
        max(case when is_last_of_day then previous_order_on end) as penultimate_order_on,
        max(case when is_last_of_day then gap_days end) as latest_gap_days,
        bool_or(is_last_of_day and is_shortening) as is_shortening,
        max(next_order_on) as next_order_on
    from orders
    group by customer_key, ordered_on

),

to_date as (

    select
        *,
        min(ordered_on) over customer_days as first_order_on,
        max(second_order_on) over customer_days as known_second_order_on,
        sum(day_gross_amount) over customer_days as gross_amount,
        sum(day_line_count) over customer_days as line_count,
        sum(day_item_quantity) over customer_days as item_quantity,
        count(*) over customer_days as purchase_day_count,
        sum(case when day_gross_amount > 0 then 1 else 0 end) over customer_days as paid_day_count,
        sum(case when day_gross_amount > 0 then day_gross_amount else 0 end) over customer_days as paid_amount,
        first_value(greatest(day_gross_amount, 0)) over customer_days as first_paid_amount
    from days
    window customer_days as (
        partition by customer_key order by ordered_on
        rows between unbounded preceding and current row
    )

)

select
    customer_key,
    ordered_on,
    next_order_on,

    -- the day itself
    day_order_count,
    day_gross_amount,

    -- the customer when the day began
    previous_order_on,
    previous_order_count,
    was_shortening,

    -- the customer from this day to the next order
    first_order_on,
    known_second_order_on as second_order_on,
    penultimate_order_on,
    latest_gap_days,
    is_shortening,
    order_count,
    cast(gross_amount as decimal(18, 4)) as gross_amount,
    cast(line_count as bigint) as line_count,
    cast(item_quantity as decimal(18, 3)) as item_quantity,
    cast(purchase_day_count as bigint) as purchase_day_count,
    cast(paid_day_count as bigint) as paid_day_count,
    cast(paid_amount as decimal(18, 4)) as paid_amount,
    cast(first_paid_amount as decimal(18, 4)) as first_paid_amount
from to_date
