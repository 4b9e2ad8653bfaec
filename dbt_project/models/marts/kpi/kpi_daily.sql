with settings as (

    select as_of from {{ source('control', 'run_settings') }}

),

ordered as (

    select
        ordered_on,
        count(*) as order_count,
        sum(gross_amount) as gross_amount
    from {{ ref('int_orders__sequenced') }}
    group by ordered_on

),

customers as (

    select
        ordered_on,
        count(*) as active_customers,
        count(case when ordered_on = first_order_on then 1 end) as new_customers
    from {{ ref('int_customer_days') }}
    group by ordered_on

),

returned as (

    select
        returned_on,
        sum(returned_amount) as returned_amount
    from {{ ref('fct_returns') }}
    group by returned_on

),

facts as (

    select ordered_on as fact_on from ordered

    union all

    select returned_on as fact_on from returned

),

first_fact as (

    select min(fact_on) as fact_on from facts

),

days as (

    select dates.date_on
    from {{ ref('dim_dates') }} as dates
    inner join settings on dates.date_on <= settings.as_of
    inner join first_fact on dates.date_on >= first_fact.fact_on

),

counted as (

    select
        days.date_on,
        coalesce(ordered.order_count, 0) as order_count,
        coalesce(customers.active_customers, 0) as active_customers,
        coalesce(customers.new_customers, 0) as new_customers,
        coalesce(ordered.gross_amount, 0) as gross_amount,
        coalesce(returned.returned_amount, 0) as returned_amount
    from days
    left join ordered on days.date_on = ordered.ordered_on
    left join customers on days.date_on = customers.ordered_on
    left join returned on days.date_on = returned.returned_on

)

select
    date_on,
    -- the as-of date is inclusive, so it never cuts a day
    true as is_complete,
    order_count,
    active_customers,
    new_customers,
    active_customers - new_customers as returning_customers,
    cast(gross_amount as decimal(18, 2)) as gross_amount,
    cast(returned_amount as decimal(18, 2)) as returned_amount,
    cast(gross_amount - returned_amount as decimal(18, 2)) as net_amount,
    cast(gross_amount / nullif(order_count, 0) as decimal(18, 2)) as average_order_amount
from counted
