with settings as (

    select as_of from {{ source('control', 'run_settings') }}

),

tickets as (

    select
        ticket_key,
        opened_on
    from {{ ref('fct_tickets') }}

),

-- each day's tickets that came, were resolved, came back
turns as (

    select
        opened_on as date_on,
        {{ measure('ticket_count') }} as opened_count,
        0 as resolved_count,
        0 as reopened_count
    from tickets
    group by opened_on

    union all

    select
        states.entered_on as date_on,
        0 as opened_count,
        case when states.is_resolution then 1 else 0 end as resolved_count,
        case when states.is_reopening then 1 else 0 end as reopened_count
    from {{ ref('fct_ticket_states') }} as states
    inner join tickets on states.ticket_key = tickets.ticket_key
    where states.is_resolution or states.is_reopening

),

counted as (

    select
        date_on,
        sum(opened_count) as opened_count,
        sum(resolved_count) as resolved_count,
        sum(reopened_count) as reopened_count
    from turns
    group by date_on

),

first_day as (

    select min(date_on) as date_on from counted

),

days as (

    select
        dates.date_on,
        coalesce(counted.opened_count, 0) as opened_count,
        coalesce(counted.resolved_count, 0) as resolved_count,
        coalesce(counted.reopened_count, 0) as reopened_count
    from {{ ref('dim_dates') }} as dates
    inner join settings on dates.date_on <= settings.as_of
    inner join first_day on dates.date_on >= first_day.date_on
    left join counted on dates.date_on = counted.date_on

)

select
    date_on,
    cast(opened_count as bigint) as opened_count,
    cast(resolved_count as bigint) as resolved_count,
    cast(reopened_count as bigint) as reopened_count,
    cast(
        sum(opened_count + reopened_count - resolved_count) over (
            order by date_on rows between unbounded preceding and current row
        ) as bigint
    ) as backlog_count
from days
