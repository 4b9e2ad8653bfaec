{#- How far back the use of channels counts. -#}
{%- set channel_days = 365 -%}

with settings as (

    select as_of from {{ source('control', 'run_settings') }}

),

tickets as (

    select
        customer_key,
        {{ measure('ticket_count') }} as ticket_count,
        count(case when is_open then 1 end) as open_ticket_count,
        {{ measure('complaint_count') }} as complaint_count,
        max(opened_at) as last_ticket_at
    from {{ ref('fct_tickets') }}
    where customer_key is not null
    group by customer_key

),

all_contacts as (

    select
        *,
        {{ business_day('contacted_at') }} as contacted_on
    from {{ ref('int_contacts') }}
    where customer_key is not null

),

contacts as (

    select
        customer_key,
        count(*) as contact_count,
        max(contacted_at) as last_contact_at
    from all_contacts
    group by customer_key

),

channels as (

    select
        all_contacts.customer_key,
        all_contacts.channel,
        count(*) as contact_count,
        max(all_contacts.contacted_at) as last_contact_at
    from all_contacts
    inner join settings on all_contacts.contacted_on > {{ add_days('settings.as_of', -channel_days) }}
    where all_contacts.channel is not null
    group by all_contacts.customer_key, all_contacts.channel

),

-- of channels used alike, the one used last; then by name
ranked as (

    select
        customer_key,
        channel,
        row_number() over (
            partition by customer_key order by contact_count desc, last_contact_at desc, channel asc
        ) as preference
    from channels

),

customers as (

    select customer_key from tickets

    union

    select customer_key from contacts

)

select
    customers.customer_key,
    settings.as_of,
    coalesce(tickets.ticket_count, 0) as ticket_count,
    coalesce(tickets.open_ticket_count, 0) as open_ticket_count,
    coalesce(tickets.complaint_count, 0) as complaint_count,
    tickets.last_ticket_at,
    coalesce(contacts.contact_count, 0) as contact_count,
    contacts.last_contact_at,
    ranked.channel as preferred_channel
from customers
cross join settings
left join tickets on customers.customer_key = tickets.customer_key
left join contacts on customers.customer_key = contacts.customer_key
left join ranked
    on
        customers.customer_key = ranked.customer_key
        and ranked.preference = 1
