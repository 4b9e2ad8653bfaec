{{ config(materialized='incremental', meta={'touched': {'ticket_key': 'int_tickets__touched'}}) }}

with tickets as (

    select * from {{ ref('int_tickets__unioned') }}
    where {{ is_touched('ticket_key', 'int_tickets__touched') }}

),

events as (

    select * from {{ ref('int_ticket_events__unioned') }}
    where {{ is_touched('ticket_key', 'int_tickets__touched') }}

),

states as (

    select * from {{ ref('fct_ticket_states') }}
    where {{ is_touched('ticket_key', 'int_tickets__touched') }}

),

answered as (

    select
        ticket_key,
        min(occurred_at) as seen_at,
        min(case when is_response then occurred_at end) as answered_at
    from events
    group by ticket_key

),

turned as (

    select
        ticket_key,
        max(case when is_current then ticket_state end) as ticket_state,
        bool_or(is_current and not is_open) as is_resolved,
        min(case when is_resolution then entered_at end) as first_resolved_at,
        max(case when is_resolution then entered_at end) as last_resolved_at,
        max(case when state_kind = 'closed' then entered_at end) as last_closed_at,
        bool_or(is_current and state_kind = 'closed') as is_closed,
        count(case when is_reopening then 1 end) as reopened_count
    from states
    group by ticket_key

),

joined as (

    select
        tickets.*,
        answered.answered_at,
        turned.ticket_state,
        coalesce(tickets.opened_at, answered.seen_at) as began_at,
        coalesce(turned.is_resolved, false) as is_resolved,
        turned.first_resolved_at,
        turned.last_resolved_at,
        turned.last_closed_at,
        coalesce(turned.is_closed, false) as is_closed,
        coalesce(turned.reopened_count, 0) as reopened_count
    from tickets
    left join answered on tickets.ticket_key = answered.ticket_key
    left join turned on tickets.ticket_key = turned.ticket_key

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
    lower(trim(priority)) as priority,
    is_complaint,
    is_sla_met as is_sla_met_by_source,
    ticket_state,
    not is_resolved as is_open,
    began_at as opened_at,
    -- who resolves a ticket without another word has answered it
    case
        when coalesce(answered_at, first_resolved_at) is not null
            then greatest(least(answered_at, first_resolved_at), began_at)
    end as first_response_at,
    first_resolved_at,
    case when is_resolved then last_resolved_at end as resolved_at,
    case when is_closed then last_closed_at end as closed_at,
    reopened_count
from joined
