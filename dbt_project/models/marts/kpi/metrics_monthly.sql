{#-
    Every metric of models/semantic by month: one that is added there is here without a line of SQL.
    dbt is told of the tables by name, because it reads no metric while it parses.
-#}
-- depends_on: {{ ref('acquisition_cost') }}
-- depends_on: {{ ref('campaign_performance') }}
-- depends_on: {{ ref('fct_campaign_touches') }}
-- depends_on: {{ ref('fct_leads') }}
-- depends_on: {{ ref('fct_order_items') }}
-- depends_on: {{ ref('fct_orders') }}
-- depends_on: {{ ref('fct_returns') }}
-- depends_on: {{ ref('fct_survey_responses') }}
-- depends_on: {{ ref('fct_tickets') }}
-- depends_on: {{ ref('kpi_monthly') }}
-- depends_on: {{ ref('sales_open_opportunities') }}
-- depends_on: {{ ref('sales_opportunities') }}
-- depends_on: {{ ref('service_contacts_monthly') }}
-- depends_on: {{ ref('web_sessions') }}
{%- set places = metric_places() if execute else [(('fct_orders', 'ordered_on'), ['order_count'])] -%}
{%- set simple = metrics_of(['simple']) if execute else ['order_count'] -%}
{%- set derived = metrics_of(['derived']) if execute else ['net_amount'] -%}
{%- set ratios = metrics_of(['ratio']) if execute else ['win_rate'] -%}
{%- set columns = measured_columns(places) if execute else [{'name': 'order_count', 'column': 'place_1.order_count'}] %}

with settings as (

    select as_of from {{ source('control', 'run_settings') }}

),

{% for (table, day), names in places %}
place_{{ loop.index }} as (

    select
        {%- for name in names %}
        {{ measure(name) }} as {{ name }},
        {%- endfor %}
        {{ month_of(day) }} as month
    from {{ ref(table) }}
    where {{ day }} is not null
    group by {{ month_of(day) }}

),

{% endfor %}
every_month as (

    {% for place in places %}
    select month from place_{{ loop.index }}
    {{ 'union all' if not loop.last }}
    {% endfor %}

),

months as (

    select distinct
        every_month.month,
        every_month.month <= settings.as_of as has_begun,
        {{ add_days(add_months('every_month.month', 1), -1) }} <= settings.as_of as is_complete
    from every_month
    cross join settings

),

-- expected closings lie ahead: what has not begun is not 0
measured as (

    select
        {%- for counted in columns %}
        {%- if counted.is_zero %}
        case
            when months.has_begun then coalesce({{ counted.column }}, 0) else {{ counted.column }}
        end as {{ counted.name }},
        {%- else %}
        {{ counted.column }},
        {%- endif %}
        {%- endfor %}
        months.month,
        months.is_complete
    from months
    {% for place in places %}
    left join place_{{ loop.index }} on months.month = place_{{ loop.index }}.month
    {% endfor %}

),

combined as (

    select
        {%- for name in derived %}
        {{ metric(name) }} as {{ name }},
        {%- endfor %}
        *
    from measured

),

divided as (

    select
        {%- for name in ratios %}
        {{ metric(name) }} as {{ name }},
        {%- endfor %}
        *
    from combined

),

names as (

    {% for name in simple + derived + ratios %}
    select '{{ name }}' as metric
    {{ 'union all' if not loop.last }}
    {% endfor %}

),

by_name as (

    select
        names.metric,
        divided.month,
        divided.is_complete,
        case names.metric
            {%- for name in simple + derived + ratios %}
            when '{{ name }}' then cast(divided.{{ name }} as double)
            {%- endfor %}
        end as value
    from divided
    cross join names

)

select
    metric,
    month,
    is_complete,
    value
from by_name
where value is not null
