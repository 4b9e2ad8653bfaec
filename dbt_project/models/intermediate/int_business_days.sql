{{ config(materialized='table') }}

with calendars as (

    select distinct calendar from {{ ref('business_hours') }}

),

days as (

    select
        calendars.calendar,
        dates.date_on,
        dates.weekday
    from {{ ref('dim_dates') }} as dates
    cross join calendars

),

clocked as (

    select
        days.calendar,
        days.date_on,
        case
            when hours.weekday is null or holidays.date_on is not null then 0
            else {{ minutes_of('hours.opens') }}
        end as opening_minute,
        case
            when hours.weekday is null or holidays.date_on is not null then 0
            else {{ minutes_of('hours.closes') }}
        end as closing_minute
    from days
    left join {{ ref('business_hours') }} as hours
        on
            days.calendar = hours.calendar
            and days.weekday = hours.weekday
    left join {{ ref('holidays') }} as holidays
        on
            days.calendar = holidays.calendar
            and days.date_on = holidays.date_on

),

-- the clock is read in the company's zone; what lies between is counted in UTC
opened as (

    select
        calendar,
        date_on,
        {{ utc_of_business_time(dbt.dateadd('minute', 'opening_minute', 'cast(date_on as timestamp)')) }} as opens_at,
        {{ utc_of_business_time(dbt.dateadd('minute', 'closing_minute', 'cast(date_on as timestamp)')) }} as closes_at
    from clocked

),

counted as (

    select
        *,
        cast({{ seconds_between('opens_at', 'closes_at') }} as bigint) as open_seconds
    from opened

)

select
    calendar,
    date_on,
    opens_at,
    closes_at,
    open_seconds,
    cast(
        coalesce(sum(open_seconds) over (
            partition by calendar order by date_on
            rows between unbounded preceding and 1 preceding
        ), 0) as bigint
    ) as open_seconds_before
from counted
