{{ config(materialized='incremental', meta={'touched': {'ticket_key': 'int_tickets__touched'}}) }}

with tickets as (

    select
        ticket_key,
        customer_key,
        opened_at
    from {{ ref('int_tickets__unioned') }}
    where {{ is_touched('ticket_key', 'int_tickets__touched') }}

),

events as (

    select * from {{ ref('int_ticket_events__unioned') }}
    where {{ is_touched('ticket_key', 'int_tickets__touched') }}

),

kinds as (

    select * from {{ ref('ticket_states') }}

),

named as (

    select
        events.ticket_key,
        events.source,
        tickets.customer_key,
        events.event_number,
        events.ticket_event_key,
        -- nothing happens to a ticket before it is there
        greatest(events.occurred_at, tickets.opened_at) as occurred_at,
        coalesce(kinds.state_name, events.ticket_state, 'Unknown') as ticket_state,
        case when events.ticket_state is null then 'unknown' else coalesce(kinds.state_kind, 'open') end as state_kind
    from events
    left join tickets on events.ticket_key = tickets.ticket_key
    left join kinds on lower(trim(events.ticket_state)) = kinds.ticket_state
    where events.ticket_key is not null and events.occurred_at is not null

),

compared as (

    select
        *,
        lag(ticket_state) over ticket_events as previous_state
    from named
    window ticket_events as (partition by ticket_key order by occurred_at, event_number, ticket_event_key)

),

-- an update that changes something else leaves the state as it was
entered as (

    select
        ticket_key,
        source,
        customer_key,
        ticket_state,
        state_kind,
        occurred_at as entered_at,
        row_number() over (
            partition by ticket_key order by occurred_at, event_number, ticket_event_key
        ) as state_number
    from compared
    where previous_state is null or previous_state <> ticket_state

),

placed as (

    select
        *,
        lead(state_number) over ticket_states is null as is_current,
        lead(entered_at) over ticket_states as left_at,
        sum(case when state_kind = 'unknown' then 0 else 1 end) over ticket_states as known_count
    from entered
    window ticket_states as (partition by ticket_key order by state_number)

),

-- while nobody knows the state, the ticket is as open as it was before
opened as (

    select
        *,
        coalesce(
            min(case when state_kind <> 'unknown' then state_kind not in ('resolved', 'closed') end) over (
                partition by ticket_key, known_count
            ), true
        ) as is_open
    from placed

),

turned as (

    select
        *,
        coalesce(lag(is_open) over (partition by ticket_key order by state_number), true) as was_open
    from opened

)

select
    ticket_key || '-' || cast(state_number as {{ dbt.type_string() }}) as ticket_state_key,
    ticket_key,
    cast(state_number as integer) as state_number,
    source,
    customer_key,
    ticket_state,
    state_kind,
    is_open,
    entered_at,
    {{ business_day('entered_at') }} as entered_on,
    left_at,
    {{ business_day('left_at') }} as left_on,
    {{ hours_of(seconds_between('entered_at', 'left_at')) }} as state_hours,
    is_current,
    was_open and not is_open as is_resolution,
    is_open and not was_open as is_reopening
from turned
