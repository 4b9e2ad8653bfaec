{#-
    Facts beside orders and returns that name a customer or a product: tickets, sessions, ...

    Whoever such a fact names is in dim_customers (dim_products), and a partial build replaces the
    rows of whoever it named before or names now. So each of these facts is incremental by its own
    key, over an `int_<facts>__touched` model, and reads neither dim_customers nor dim_products.
-#}

{#- One line a fact: its key, the model of its touched keys, when it happened, whom it names. -#}
{% macro naming_facts(kind=none) -%}
    {%- set facts = [
        {'fact': 'fct_leads', 'key': 'lead_key', 'touched': 'int_leads__touched', 'at': 'created_at', 'names': ['customer']},
        {'fact': 'fct_opportunities', 'key': 'opportunity_key', 'touched': 'int_opportunities__touched', 'at': 'opened_at', 'names': ['customer', 'product']},
        {'fact': 'fct_payments', 'key': 'payment_key', 'touched': 'int_payments__touched', 'at': 'due_at', 'names': ['customer']},
        {'fact': 'fct_campaign_touches', 'key': 'touch_key', 'touched': 'int_campaign_touches__touched', 'at': 'touched_at', 'names': ['customer']},
        {'fact': 'fct_consents', 'key': 'consent_key', 'touched': 'int_consents__touched', 'at': 'changed_at', 'names': ['customer']},
        {'fact': 'fct_sessions', 'key': 'session_key', 'touched': 'int_sessions__touched', 'at': 'started_at', 'names': ['customer']},
        {'fact': 'fct_subscriptions', 'key': 'subscription_key', 'touched': 'int_subscriptions__touched', 'at': 'started_at', 'names': ['customer', 'product']},
        {'fact': 'int_tickets__timed', 'key': 'ticket_key', 'touched': 'int_tickets__touched', 'at': 'opened_at', 'names': ['customer', 'product']},
        {'fact': 'fct_interactions', 'key': 'interaction_key', 'touched': 'int_interactions__touched', 'at': 'occurred_at', 'names': ['customer']},
        {'fact': 'fct_survey_responses', 'key': 'response_key', 'touched': 'int_survey_responses__touched', 'at': 'responded_at', 'names': ['customer', 'product']},
        {'fact': 'fct_customer_tags', 'key': 'tag_key', 'touched': 'int_customer_tags__touched', 'at': 'tagged_at', 'names': ['customer']},
        {'fact': 'fct_inventory', 'key': 'inventory_key', 'touched': 'int_inventory__touched', 'at': 'counted_at', 'names': ['product']},
    ] -%}
    {%- set found = [] -%}
    {%- for fact in facts if kind is none or kind in fact.names -%}
        {%- do found.append(fact) -%}
    {%- endfor -%}
    {{- return(found) -}}
{%- endmacro %}


{#-
    The body of an `int_<facts>__touched` model: in a partial build, the keys of the facts of a kind
    (`meta.identifies`) that changed rows name, and whom and what each named in the last build; empty
    where everything is rebuilt. The model is a table: it is read after the fact itself was replaced.
-#}
{% macro touched_facts(kind, fact, names) -%}
{%- if not in_part() -%}
-- everything is rebuilt, so nothing has to be singled out
select
    cast(null as {{ dbt.type_string() }}) as {{ kind }}_key
    {%- for name in names %},
    cast(null as {{ dbt.type_string() }}) as {{ name }}_key
    {%- endfor %}
where false
{%- else -%}
with touched as (

    select distinct source || ':' || id as {{ kind }}_key
    from {{ touched_ids() }}
    where kind = '{{ kind }}'

)

select
    touched.{{ kind }}_key
    {%- for name in names %},
    was.{{ name }}_key
    {%- endfor %}
from touched
left join {{ as_built(fact) }} as was on touched.{{ kind }}_key = was.{{ kind }}_key
{%- endif %}
{%- endmacro %}


{#- Every naming of a kind by these facts: its key, the source that names it, when (null: undated). -#}
{% macro mentions(kind) -%}
    {%- for fact in naming_facts(kind) %}
select
    {{ kind }}_key,
    source,
    {{ fact.at }} as seen_at
from {{ ref(fact.fact) }}
where {{ kind }}_key is not null

union all

    {% endfor -%}
select
    cast(null as {{ dbt.type_string() }}) as {{ kind }}_key,
    cast(null as {{ dbt.type_string() }}) as source,
    cast(null as timestamp) as seen_at
where false
{%- endmacro %}


{#- Members of a union of touched keys: whom touched facts named before, and whom they name now. -#}
{% macro named_by_touched_facts(kind) -%}
    {%- for fact in naming_facts(kind) %}
    union

    select {{ kind }}_key from {{ ref(fact.touched) }}

    union

    select {{ kind }}_key from {{ ref(fact.fact) }}
    where {{ is_touched(fact.key, fact.touched) }}
    {% endfor -%}
{%- endmacro %}


{#- Members of a union of days: the first of each of these facts. -#}
{% macro first_days_of_facts() -%}
    {%- for fact in naming_facts() %}
    select {{ business_day('min(' ~ fact.at ~ ')') }} as fact_on from {{ ref(fact.fact) }}

    union all
    {% endfor -%}
{%- endmacro %}
