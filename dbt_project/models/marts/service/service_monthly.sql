{%- set times = [
    'first_response_hours', 'first_response_business_hours', 'resolution_hours', 'resolution_business_hours',
] -%}

with settings as (

    select as_of from {{ source('control', 'run_settings') }}

),

tickets as (

    select
        *,
        {{ month_of('opened_on') }} as month
    from {{ ref('fct_tickets') }}

),

counted as (

    select
        month,
        {{ measure('ticket_count') }} as ticket_count,
        {{ measure('complaint_known_count') }} as complaint_known_count,
        {{ measure('complaint_count') }} as complaint_count,
        {{ measure('answered_ticket_count') }} as answered_count,
        {{ measure('resolved_ticket_count') }} as resolved_count,
        {{ measure('reopened_ticket_count') }} as reopened_count,
        {{ measure('sla_judged_ticket_count') }} as sla_judged_ticket_count,
        {%- for time in times %}
        cast({{ measure('mean_' ~ time) }} as decimal(18, 4)) as mean_{{ time }},
        cast({{ measure('median_' ~ time) }} as decimal(18, 4)) as median_{{ time }},
        cast({{ measure('p90_' ~ time) }} as decimal(18, 4)) as p90_{{ time }},
        {%- endfor %}
        {{ measure('sla_met_ticket_count') }} as sla_met_ticket_count
    from tickets
    group by month

),

contacts as (

    select
        month,
        {{ measure('contact_count') }} as contact_count
    from {{ ref('service_contacts_monthly') }}
    group by month

),

first_fact as (

    select min(month) as month from counted

),

months as (

    select distinct dates.month
    from {{ ref('dim_dates') }} as dates
    inner join settings on dates.date_on <= settings.as_of
    inner join first_fact on dates.month >= first_fact.month

)

select
    months.month,
    {{ add_days(add_months('months.month', 1), -1) }} <= settings.as_of as is_complete,
    coalesce(counted.ticket_count, 0) as ticket_count,
    coalesce(counted.complaint_count, 0) as complaint_count,
    {{ metric('complaint_rate') }} as complaint_rate,
    coalesce(counted.answered_count, 0) as answered_count,
    coalesce(counted.resolved_count, 0) as resolved_count,
    coalesce(counted.reopened_count, 0) as reopened_count,
    coalesce(counted.sla_judged_ticket_count, 0) as sla_judged_count,
    {{ metric('sla_met_rate') }} as sla_met_rate,
    {{ rate_end('-', 'counted.sla_met_ticket_count', 'counted.sla_judged_ticket_count') }} as sla_met_low_rate,
    {{ rate_end('+', 'counted.sla_met_ticket_count', 'counted.sla_judged_ticket_count') }} as sla_met_high_rate,
    {%- for time in times %}
    counted.mean_{{ time }},
    counted.median_{{ time }},
    counted.p90_{{ time }},
    {%- endfor %}
    cast(coalesce(contacts.contact_count, 0) as bigint) as contact_count
from months
cross join settings
left join counted on months.month = counted.month
left join contacts on months.month = contacts.month
