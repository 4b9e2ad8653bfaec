with tickets as (

    select
        *,
        {{ business_day('opened_at') }} as opened_on,
        {{ business_day('first_response_at') }} as first_response_on,
        {{ business_day('resolved_at') }} as resolved_on,
        {{ business_day('closed_at') }} as closed_on
    from {{ ref('int_tickets__timed') }}

),

days as (

    select * from {{ ref('int_business_days') }}
    where calendar = {{ service_calendar() }}

),

-- business time that has passed by the end of the as-of date
passed as (

    select max(days.open_seconds_before + days.open_seconds) as open_seconds
    from days
    inner join {{ source('control', 'run_settings') }} as settings on days.date_on = settings.as_of

),

timed as (

    select
        tickets.*,
        {{ seconds_between('tickets.opened_at', 'tickets.first_response_at') }} as response_seconds,
        {{ seconds_between('tickets.opened_at', 'tickets.resolved_at') }} as resolution_seconds,
        {{ open_seconds_until('tickets.opened_at', 'opening') }} as opening_open_seconds,
        {{ open_seconds_until('tickets.first_response_at', 'response') }} as response_open_seconds,
        {{ open_seconds_until('tickets.resolved_at', 'resolution') }} as resolution_open_seconds,
        passed.open_seconds as passed_open_seconds
    from tickets
    cross join passed
    left join days as opening on tickets.opened_on = opening.date_on
    left join days as response on tickets.first_response_on = response.date_on
    left join days as resolution on tickets.resolved_on = resolution.date_on

),

measured as (

    select
        *,
        {{ hours_of('response_seconds') }} as first_response_hours,
        {{ hours_of('response_open_seconds - opening_open_seconds') }} as first_response_business_hours,
        {{ hours_of('resolution_seconds') }} as resolution_hours,
        {{ hours_of('resolution_open_seconds - opening_open_seconds') }} as resolution_business_hours,
        {{ hours_of('passed_open_seconds - opening_open_seconds') }} as elapsed_business_hours
    from timed

),

judged as (

    select
        measured.*,
        {{ is_within(
            'measured.first_response_business_hours', 'measured.elapsed_business_hours', 'targets.first_response_hours'
        ) }} as is_first_response_met,
        {{ is_within(
            'measured.resolution_business_hours', 'measured.elapsed_business_hours', 'targets.resolution_hours'
        ) }} as is_resolution_met,
        targets.first_response_hours is not null as has_response_target,
        targets.resolution_hours is not null as has_resolution_target
    from measured
    left join {{ ref('sla_targets') }} as targets on measured.priority = targets.priority

)

select
    ticket_key,
    source,
    customer_key,
    product_key,
    order_key,
    owner_key,
    channel,
    category,
    subcategory,
    priority,
    is_complaint,
    ticket_state,
    is_open,
    opened_at,
    opened_on,
    first_response_at,
    first_response_on,
    first_resolved_at,
    resolved_at,
    resolved_on,
    closed_at,
    closed_on,
    reopened_count,
    first_response_hours,
    first_response_business_hours,
    resolution_hours,
    resolution_business_hours,
    is_first_response_met,
    is_resolution_met,
    -- one target missed decides; all that there are must be kept
    case
        when not is_first_response_met or not is_resolution_met then false
        when
            (has_response_target or has_resolution_target)
            and (is_first_response_met or not has_response_target)
            and (is_resolution_met or not has_resolution_target)
            then true
    end as is_sla_met,
    is_sla_met_by_source
from judged
