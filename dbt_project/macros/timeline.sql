{#-
    What is in customer_timeline: one line an event. `fact` is an incremental model with a customer_key
    that is among macros/naming_facts.sql (or orders and returns), so that a partial build knows whose
    rows to replace; `key` and `event` together are unique; `at` says when; `only` is a condition.
    Columns that a fact does not have are left out.
-#}
{% macro timeline_events() -%}
    {{- return([
        {'event': 'order_placed', 'fact': 'fct_orders', 'key': 'order_key', 'at': 'ordered_at', 'channel': 'channel', 'amount': 'gross_amount'},
        {'event': 'item_returned', 'fact': 'fct_returns', 'key': 'return_key', 'at': 'returned_at', 'detail': 'product_key', 'amount': 'returned_amount'},
        {'event': 'ticket_opened', 'fact': 'int_tickets__timed', 'key': 'ticket_key', 'at': 'opened_at', 'channel': 'channel', 'detail': 'category'},
        {'event': 'ticket_answered', 'fact': 'int_tickets__timed', 'key': 'ticket_key', 'at': 'first_response_at'},
        {'event': 'ticket_resolved', 'fact': 'fct_ticket_states', 'key': 'ticket_state_key', 'at': 'entered_at', 'detail': 'ticket_state', 'only': 'is_resolution'},
        {'event': 'ticket_reopened', 'fact': 'fct_ticket_states', 'key': 'ticket_state_key', 'at': 'entered_at', 'detail': 'ticket_state', 'only': 'is_reopening'},
        {'event': 'contact', 'fact': 'fct_interactions', 'key': 'interaction_key', 'at': 'occurred_at', 'channel': 'channel', 'detail': 'kind'},
    ]) -}}
{%- endmacro %}


{#- The body of customer_timeline: all these events of known customers, of those touched in a partial build. -#}
{% macro timeline_of_touched_customers() -%}
    {%- set nothing = 'cast(null as ' ~ dbt.type_string() ~ ')' -%}
    {%- for event in timeline_events() %}
select
    customer_key,
    '{{ event.event }} ' || {{ event.key }} as event_key,
    '{{ event.event }}' as event,
    {{ event.at }} as happened_at,
    {{ business_day(event.at) }} as happened_on,
    source,
    {{ event.channel or nothing }} as channel,
    {{ event.detail or nothing }} as detail,
    cast({{ event.amount or 'null' }} as decimal(18, 2)) as event_amount
from {{ ref(event.fact) }}
where
    customer_key is not null
    and {{ event.at }} is not null
    and {{ event.only or 'true' }}
    and {{ is_touched('customer_key', 'int_customers__touched') }}
{{ 'union all' if not loop.last }}
    {%- endfor %}
{%- endmacro %}
