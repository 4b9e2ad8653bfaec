with settings as (

    select
        as_of,
        horizon_days
    from {{ source('control', 'run_settings') }}

),

customer_days as (

    select * from {{ ref('int_customer_days') }}

),

ordered as (

    select
        {{ month_of('ordered_on') }} as month,
        {{ measure('order_count') }} as order_count,
        {{ measure('active_customers') }} as active_customers,
        {{ measure('new_customers') }} as new_customers
    from {{ ref('fct_orders') }}
    group by {{ month_of('ordered_on') }}

),

lines as (

    select
        {{ month_of('ordered_on') }} as month,
        {{ measure('gross_amount') }} as gross_amount
    from {{ ref('fct_order_items') }}
    group by {{ month_of('ordered_on') }}

),

returned as (

    select
        {{ month_of('returned_on') }} as month,
        {{ measure('returned_amount') }} as returned_amount
    from {{ ref('fct_returns') }}
    group by {{ month_of('returned_on') }}

),

retained as (

    select
        order_month as month,
        count(case when previous_order_month = {{ add_months('order_month', -1) }} then 1 end) as retained_customers
    from {{ ref('int_customer_months') }}
    group by order_month

),

facts as (

    select month from ordered

    union all

    select month from returned

),

first_fact as (

    select min(month) as month from facts

),

-- the as-of date cuts the last month
months as (

    select distinct
        dates.month,
        {{ add_months('dates.month', -1) }} as month_before,
        {{ add_months('dates.month', 1) }} as month_after,
        {{ add_days(add_months('dates.month', 1), -1) }} <= settings.as_of as is_complete,
        least({{ add_days(add_months('dates.month', 1), -1) }}, settings.as_of) as ended_on
    from {{ ref('dim_dates') }} as dates
    inner join settings on dates.month <= settings.as_of
    inner join first_fact on dates.month >= first_fact.month

),

-- each customer with an order by the month's end, as the last order left them
at_month_end as (

    select
        months.month,
        months.month_after,
        months.ended_on,
        customer_days.customer_key,
        customer_days.ordered_on,
        customer_days.penultimate_order_on
    from customer_days
    inner join months on {{ spell_covers('customer_days', 'months.ended_on') }}

),

repurchased as (

    select
        month,
        count(*) as recent_customers,
        count(
            case when {{ days_between('penultimate_order_on', 'ended_on') }} < 365 then 1 end
        ) as repeat_customers
    from at_month_end
    where {{ days_between('ordered_on', 'ended_on') }} < 365
    group by month

),

-- not churned when the month starts: the last order is less than the horizon old the day before
alive as (

    select
        at_month_end.month_after as month,
        at_month_end.customer_key
    from at_month_end
    cross join settings
    where {{ days_between('at_month_end.ordered_on', 'at_month_end.ended_on') }} < settings.horizon_days

),

-- the day on which a last order becomes as old as the horizon, none having followed until then
churned as (

    select distinct
        {{ month_of(add_days('customer_days.ordered_on', 'settings.horizon_days')) }} as month,
        customer_days.customer_key
    from customer_days
    inner join settings
        on
            {{ days_between('customer_days.ordered_on', 'settings.as_of') }} >= settings.horizon_days
            and {{ days_between('customer_days.ordered_on', 'customer_days.next_order_on') }} > settings.horizon_days

),

churn as (

    select
        alive.month,
        count(*) as customers_at_start,
        count(churned.customer_key) as churned_customers
    from alive
    left join churned
        on
            alive.month = churned.month
            and alive.customer_key = churned.customer_key
    group by alive.month

),

counted as (

    select
        months.month,
        months.is_complete,
        coalesce(ordered.order_count, 0) as order_count,
        coalesce(ordered.active_customers, 0) as active_customers,
        coalesce(ordered.new_customers, 0) as new_customers,
        coalesce(lines.gross_amount, 0) as gross_amount,
        coalesce(returned.returned_amount, 0) as returned_amount,
        coalesce(retained.retained_customers, 0) as retained_customers,
        coalesce(before.active_customers, 0) as previous_active_customers,
        coalesce(repurchased.repeat_customers, 0) as repeat_customers,
        coalesce(repurchased.recent_customers, 0) as recent_customers,
        coalesce(churn.churned_customers, 0) as churned_customers,
        coalesce(churn.customers_at_start, 0) as customers_at_start
    from months
    left join ordered on months.month = ordered.month
    left join returned on months.month = returned.month
    left join lines on months.month = lines.month
    left join retained on months.month = retained.month
    left join ordered as before on months.month_before = before.month
    left join repurchased on months.month = repurchased.month
    left join churn on months.month = churn.month

)

select
    month,
    is_complete,
    order_count,
    active_customers,
    new_customers,
    {{ metric('returning_customers') }} as returning_customers,
    cast(gross_amount as decimal(18, 2)) as gross_amount,
    cast(returned_amount as decimal(18, 2)) as returned_amount,
    cast({{ metric('net_amount') }} as decimal(18, 2)) as net_amount,
    cast({{ metric('average_order_amount') }} as decimal(18, 2)) as average_order_amount,
    repeat_customers,
    recent_customers,
    cast({{ metric('repurchase_rate') }} as double) as repurchase_rate,
    churned_customers,
    customers_at_start,
    cast({{ metric('churn_rate') }} as double) as churn_rate,
    retained_customers,
    previous_active_customers,
    cast({{ metric('retention_rate') }} as double) as retention_rate
from counted
