with interactions as (

    select * from {{ ref('fct_interactions') }}
    -- what does not say who began it is taken for the customer
    where coalesce(direction, 'inbound') = 'inbound'

),

tickets as (

    select * from {{ ref('int_tickets__timed') }}

)

select
    interaction_key as contact_key,
    source,
    customer_key,
    occurred_at as contacted_at,
    channel
from interactions

union all

-- a ticket is a contact of its own unless the call or letter that opened it is recorded as well
select
    tickets.ticket_key as contact_key,
    tickets.source,
    tickets.customer_key,
    tickets.opened_at as contacted_at,
    tickets.channel
from tickets
left join interactions on tickets.ticket_key = interactions.ticket_key
where interactions.ticket_key is null
