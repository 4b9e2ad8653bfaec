with dates as (

    select
        as_of,
        lag(as_of) over (order by as_of) as previous_as_of
    from {{ ref('int_as_of_dates') }}

),

lifecycle as (

    select
        customer_key,
        as_of,
        lifecycle_stage
    from {{ ref('customer_lifecycle') }}

),

stages as (

    select stage_name from {{ ref('lifecycle_stages') }}

),

moved as (

    select
        dates.previous_as_of,
        dates.as_of,
        earlier.lifecycle_stage as from_stage,
        later.lifecycle_stage as to_stage,
        count(*) as customers
    from dates
    inner join lifecycle as earlier on dates.previous_as_of = earlier.as_of
    inner join lifecycle as later
        on
            dates.as_of = later.as_of
            and earlier.customer_key = later.customer_key
    group by dates.previous_as_of, dates.as_of, earlier.lifecycle_stage, later.lifecycle_stage

),

origins as (

    select
        previous_as_of,
        as_of,
        from_stage,
        cast(sum(customers) as bigint) as from_customers
    from moved
    group by previous_as_of, as_of, from_stage

)

-- dense: a way that nobody went is a row with 0
select
    origins.as_of,
    origins.previous_as_of,
    {{ add_days(add_months(month_of('origins.as_of'), 1), -1) }} = origins.as_of as is_complete,
    origins.from_stage,
    stages.stage_name as to_stage,
    origins.from_customers,
    coalesce(moved.customers, 0) as customers,
    cast(coalesce(moved.customers, 0) as double) / origins.from_customers as transition_rate
from origins
cross join stages
left join moved
    on
        origins.as_of = moved.as_of
        and origins.from_stage = moved.from_stage
        and stages.stage_name = moved.to_stage
