{{ config(materialized='incremental', meta={'touched': {'customer_key': 'int_customers__touched'}}) }}

{%- for event in timeline_events() %}

select
    customer_key,
    cast('{{ event.event }} ' as {{ dbt.type_string() }}) || {{ event.key }} as event_key,
    '{{ event.event }}' as event,
    {{ event.at }} as happened_at,
    {{ business_day(event.at) }} as happened_on,
    source,
    {{ event.channel or "cast(null as " ~ dbt.type_string() ~ ")" }} as channel,
    {{ event.detail or "cast(null as " ~ dbt.type_string() ~ ")" }} as detail,
    cast({{ event.amount or 'null' }} as decimal(18, 2)) as event_amount
from {{ ref(event.fact) }}
where
    customer_key is not null
    and {{ event.at }} is not null
    {%- if event.only %}
    and {{ event.only }}
    {%- endif %}
    and {{ is_touched('customer_key', 'int_customers__touched') }}
{{ 'union all' if not loop.last }}
{%- endfor %}
