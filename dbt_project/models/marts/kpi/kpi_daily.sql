{#- The other areas: facts, their day, what is counted of them. -#}
{%- set areas = {
    'tickets': ('fct_tickets', 'opened_on', ['ticket_count']),
    'resolutions': ('fct_tickets', 'resolved_on', ['resolution_count']),
    'answers': ('fct_survey_responses', 'responded_on', ['csat_count']),
    'visits': ('web_sessions', 'started_on', ['session_count']),
    'opened': ('sales_opportunities', 'opened_on', ['opened_opportunity_count']),
    'decided': ('sales_opportunities', 'closed_on', ['won_opportunity_count', 'won_amount']),
    'leads': ('fct_leads', 'created_on', ['lead_count']),
    'touches': ('fct_campaign_touches', 'touched_on', ['touch_count']),
} -%}

with settings as (

    select as_of from {{ source('control', 'run_settings') }}

),

ordered as (

    select
        ordered_on,
        {{ measure('order_count') }} as order_count,
        {{ measure('active_customers') }} as active_customers,
        {{ measure('new_customers') }} as new_customers
    from {{ ref('fct_orders') }}
    group by ordered_on

),

lines as (

    select
        ordered_on,
        {{ measure('gross_amount') }} as gross_amount
    from {{ ref('fct_order_items') }}
    group by ordered_on

),

returned as (

    select
        returned_on,
        {{ measure('returned_amount') }} as returned_amount
    from {{ ref('fct_returns') }}
    group by returned_on

),

{% for area, (facts, day, counted) in areas.items() %}
{{ area }} as (

    select
        {%- for name in counted %}
        {{ measure(name) }} as {{ name }},
        {%- endfor %}
        {{ day }} as fact_on
    from {{ ref(facts) }}
    where {{ day }} is not null
    group by {{ day }}

),

{% endfor %}
facts as (

    {% for area in areas %}
    select fact_on from {{ area }}

    union all

    {% endfor %}
    select ordered_on as fact_on from ordered

    union all

    select returned_on as fact_on from returned

),

first_fact as (

    select min(fact_on) as fact_on from facts

),

days as (

    select dates.date_on
    from {{ ref('dim_dates') }} as dates
    inner join settings on dates.date_on <= settings.as_of
    inner join first_fact on dates.date_on >= first_fact.fact_on

),

counted as (

    select
        days.date_on,
        coalesce(ordered.order_count, 0) as order_count,
        coalesce(ordered.active_customers, 0) as active_customers,
        coalesce(ordered.new_customers, 0) as new_customers,
        {% for area, (facts, day, counted) in areas.items() %}
        {% for name in counted %}
        coalesce({{ area }}.{{ name }}, 0) as {{ name }},
        {% endfor %}
        {% endfor %}
        coalesce(lines.gross_amount, 0) as gross_amount,
        coalesce(returned.returned_amount, 0) as returned_amount
    from days
    left join ordered on days.date_on = ordered.ordered_on
    left join lines on days.date_on = lines.ordered_on
    left join returned on days.date_on = returned.returned_on
    {% for area in areas %}
    left join {{ area }} on days.date_on = {{ area }}.fact_on
    {% endfor %}

)

select
    date_on,
    -- the as-of date is inclusive, so it never cuts a day
    true as is_complete,
    order_count,
    active_customers,
    new_customers,
    {{ metric('returning_customers') }} as returning_customers,
    cast(gross_amount as decimal(18, 2)) as gross_amount,
    cast(returned_amount as decimal(18, 2)) as returned_amount,
    cast({{ metric('net_amount') }} as decimal(18, 2)) as net_amount,
    cast({{ metric('average_order_amount') }} as decimal(18, 2)) as average_order_amount,
    ticket_count,
    resolution_count,
    csat_count,
    session_count,
    opened_opportunity_count,
    won_opportunity_count,
    cast(won_amount as decimal(18, 2)) as won_amount,
    lead_count,
    touch_count
from counted
