{%- set measures = [
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
        count(*) as ticket_count,
        count(is_complaint) as complaint_known_count,
        count(case when is_complaint then 1 end) as complaint_count,
        count(first_response_at) as answered_count,
        count(resolved_at) as resolved_count,
        count(case when reopened_count > 0 then 1 end) as reopened_count,
        count(is_sla_met) as sla_judged_count,
        {%- for measure in measures %}
        cast(avg({{ measure }}) as decimal(18, 4)) as mean_{{ measure }},
        cast(median({{ measure }}) as decimal(18, 4)) as median_{{ measure }},
        cast({{ percentile_of(measure, 0.9) }} as decimal(18, 4)) as p90_{{ measure }},
        {%- endfor %}
        count(case when is_sla_met then 1 end) as sla_met_count
    from tickets
    group by month

),

contacts as (

    select
        month,
        sum(contact_count) as contact_count
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
    cast(counted.complaint_count as double) / nullif(counted.complaint_known_count, 0) as complaint_rate,
    coalesce(counted.answered_count, 0) as answered_count,
    coalesce(counted.resolved_count, 0) as resolved_count,
    coalesce(counted.reopened_count, 0) as reopened_count,
    coalesce(counted.sla_judged_count, 0) as sla_judged_count,
    cast(counted.sla_met_count as double) / nullif(counted.sla_judged_count, 0) as sla_met_rate,
    {{ rate_end('-', 'counted.sla_met_count', 'counted.sla_judged_count') }} as sla_met_low_rate,
    {{ rate_end('+', 'counted.sla_met_count', 'counted.sla_judged_count') }} as sla_met_high_rate,
    {%- for measure in measures %}
    counted.mean_{{ measure }},
    counted.median_{{ measure }},
    counted.p90_{{ measure }},
    {%- endfor %}
    cast(coalesce(contacts.contact_count, 0) as bigint) as contact_count
from months
cross join settings
left join counted on months.month = counted.month
left join contacts on months.month = contacts.month
