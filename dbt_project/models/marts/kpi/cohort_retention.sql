with customer_months as (

    select * from {{ ref('int_customer_months') }}

),

settings as (

    select as_of from {{ source('control', 'run_settings') }}

),

months as (

    select distinct month from {{ ref('dim_dates') }}

),

cohorts as (

    select
        cohort_month,
        count(*) as cohort_customers
    from customer_months
    where order_month = cohort_month
    group by cohort_month

),

active as (

    select
        cohort_month,
        order_month,
        count(*) as active_customers
    from customer_months
    group by cohort_month, order_month

),

-- dense: a month in which nobody of the cohort came back is a row with 0
grid as (

    select
        cohorts.cohort_month,
        cohorts.cohort_customers,
        months.month,
        {{ add_days(add_months('months.month', 1), -1) }} <= settings.as_of as is_complete
    from cohorts
    inner join months on cohorts.cohort_month <= months.month
    inner join settings on months.month <= settings.as_of

)

select
    grid.cohort_month,
    {{ months_between('grid.cohort_month', 'grid.month') }} as month_number,
    grid.cohort_customers,
    coalesce(active.active_customers, 0) as active_customers,
    cast(coalesce(active.active_customers, 0) as double) / grid.cohort_customers as retention_rate,
    grid.is_complete
from grid
left join active
    on
        grid.cohort_month = active.cohort_month
        and grid.month = active.order_month
