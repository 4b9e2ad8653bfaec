{#-
    One shape for each canonical entity, whichever sources feed it.

    `union_entity(entity)` selects the entity's columns from the staging model of every enabled
    source. All providers are referenced while parsing, so lineage does not depend on settings, and
    the union ends in typed columns without a row, so that it always builds. Where a source brings
    `customer_links`, its own customer keys are replaced by the linked ones.
-#}

{#-
    Columns and types of an entity, in order. `customer_key` and `parent_customer_key` are resolved
    through the links; a customer's or company's record keeps its own as `record_key`, which staging
    models do not have.
-#}
{% macro entity_columns(entity) %}
    {%- set text = dbt.type_string() -%}
    {%- set shapes = {
        'customers': [
            ('customer_key', text), ('record_key', text), ('source', text),
            ('recorded_at', 'timestamp'),
            ('country', text), ('region', text), ('city', text), ('acquisition_channel', text),
            ('gender', text), ('birth_year', 'integer'), ('income_amount', 'decimal(18, 2)'),
            ('education', text), ('occupation', text), ('is_marketing_allowed', 'boolean'),
        ],
        'customer_versions': [
            ('customer_key', text), ('record_key', text), ('source', text),
            ('changed_at', 'timestamp'),
            ('country', text), ('region', text), ('city', text), ('acquisition_channel', text),
            ('gender', text), ('birth_year', 'integer'), ('income_amount', 'decimal(18, 2)'),
            ('education', text), ('occupation', text), ('is_marketing_allowed', 'boolean'),
        ],
        'companies': [
            ('customer_key', text), ('record_key', text), ('source', text), ('industry', text),
            ('employee_count', 'integer'), ('revenue_amount', 'decimal(18, 2)'),
            ('founded_year', 'integer'), ('parent_customer_key', text),
        ],
        'customer_links': [
            ('source', text), ('customer_key', text), ('linked_customer_key', text),
        ],
        'products': [
            ('product_key', text), ('source', text), ('product_name', text), ('category', text),
            ('subcategory', text), ('is_merchandise', 'boolean'),
        ],
        'product_versions': [
            ('product_key', text), ('source', text), ('changed_at', 'timestamp'),
            ('product_name', text), ('category', text), ('subcategory', text),
            ('is_merchandise', 'boolean'),
        ],
        'orders': [
            ('order_key', text), ('source', text), ('customer_key', text),
            ('ordered_at', 'timestamp'), ('channel', text),
        ],
        'order_items': [
            ('order_key', text), ('line_number', 'integer'), ('source', text),
            ('customer_key', text), ('product_key', text), ('ordered_at', 'timestamp'),
            ('quantity', 'decimal(18, 3)'), ('unit_price', 'decimal(18, 4)'),
            ('unit_cost', 'decimal(18, 4)'), ('line_amount', 'decimal(18, 4)'),
        ],
        'returns': [
            ('return_key', text), ('document_key', text), ('source', text), ('order_key', text),
            ('customer_key', text), ('product_key', text), ('returned_at', 'timestamp'), ('quantity', 'decimal(18, 3)'),
            ('returned_amount', 'decimal(18, 4)'),
        ],
        'adjustments': [
            ('adjustment_key', text), ('document_key', text), ('source', text),
            ('adjusted_at', 'timestamp'), ('reason', text), ('quantity', 'decimal(18, 3)'),
            ('adjusted_amount', 'decimal(18, 4)'),
        ],
        'payments': [
            ('payment_key', text), ('source', text), ('order_key', text), ('customer_key', text),
            ('method', text), ('status', text), ('due_at', 'timestamp'), ('paid_at', 'timestamp'),
            ('payment_amount', 'decimal(18, 2)'),
        ],
        'subscriptions': [
            ('subscription_key', text), ('source', text), ('customer_key', text),
            ('product_key', text), ('plan', text), ('contract_term', text),
            ('payment_method', text), ('started_at', 'timestamp'), ('ended_at', 'timestamp'),
            ('tenure_months', 'integer'), ('monthly_amount', 'decimal(18, 2)'),
            ('charged_amount', 'decimal(18, 2)'), ('service_count', 'integer'),
            ('services', text), ('is_churned', 'boolean'),
        ],
        'sessions': [
            ('session_key', text), ('source', text), ('customer_key', text),
            ('started_at', 'timestamp'), ('channel', text), ('device', text), ('visitor_type', text),
            ('page_count', 'integer'), ('product_page_count', 'integer'),
            ('duration_seconds', 'decimal(18, 3)'), ('bounce_rate', 'double'), ('exit_rate', 'double'),
            ('has_cart', 'boolean'), ('has_checkout', 'boolean'), ('has_order', 'boolean'),
            ('order_key', text),
        ],
        'interactions': [
            ('interaction_key', text), ('source', text), ('customer_key', text),
            ('ticket_key', text), ('occurred_at', 'timestamp'), ('channel', text),
            ('direction', text), ('kind', text), ('duration_seconds', 'integer'),
        ],
        'tickets': [
            ('ticket_key', text), ('source', text), ('customer_key', text), ('product_key', text),
            ('order_key', text), ('owner_key', text), ('opened_at', 'timestamp'), ('channel', text),
            ('category', text), ('subcategory', text), ('priority', text),
            ('is_complaint', 'boolean'), ('is_sla_met', 'boolean'),
        ],
        'ticket_events': [
            ('ticket_event_key', text), ('source', text), ('ticket_key', text),
            ('event_number', 'integer'), ('occurred_at', 'timestamp'), ('ticket_state', text),
            ('owner_key', text), ('is_response', 'boolean'),
        ],
        'survey_responses': [
            ('response_key', text), ('source', text), ('customer_key', text), ('product_key', text),
            ('order_key', text), ('ticket_key', text), ('survey', text), ('question', text),
            ('channel', text), ('responded_at', 'timestamp'), ('score', 'decimal(18, 3)'),
            ('lowest_score', 'decimal(18, 3)'), ('highest_score', 'decimal(18, 3)'),
            ('question_weight', 'decimal(18, 4)'), ('comment_length', 'integer'),
            ('comment_language', text), ('comment_sentiment', 'double'), ('comment_topics', text),
        ],
        'comments': [
            ('response_key', text), ('source', text), ('comment_table', text),
            ('comment_column', text), ('comment_file', text), ('comment_line', 'bigint'),
        ],
        'customer_tags': [
            ('tag_key', text), ('source', text), ('customer_key', text), ('tag', text),
            ('tagged_at', 'timestamp'), ('untagged_at', 'timestamp'),
        ],
        'campaigns': [
            ('campaign_key', text), ('source', text), ('campaign_name', text), ('channel', text),
            ('purpose', text), ('started_at', 'timestamp'), ('ended_at', 'timestamp'),
            ('cost_amount', 'decimal(18, 2)'), ('is_experiment', 'boolean'),
        ],
        'campaign_touches': [
            ('touch_key', text), ('source', text), ('campaign_key', text), ('customer_key', text),
            ('touched_at', 'timestamp'), ('channel', text), ('experiment_arm', text),
            ('is_control', 'boolean'), ('is_opened', 'boolean'), ('is_responded', 'boolean'),
            ('is_converted', 'boolean'), ('responded_at', 'timestamp'),
            ('response_amount', 'decimal(18, 2)'), ('cost_amount', 'decimal(18, 4)'),
        ],
        'consents': [
            ('consent_key', text), ('source', text), ('customer_key', text), ('channel', text),
            ('purpose', text), ('changed_at', 'timestamp'), ('is_granted', 'boolean'),
        ],
        'leads': [
            ('lead_key', text), ('source', text), ('customer_key', text), ('owner_key', text),
            ('created_at', 'timestamp'), ('channel', text), ('status', text),
            ('converted_at', 'timestamp'), ('opportunity_key', text),
        ],
        'opportunities': [
            ('opportunity_key', text), ('source', text), ('customer_key', text), ('lead_key', text),
            ('owner_key', text), ('product_key', text), ('stage', text), ('opened_at', 'timestamp'),
            ('closed_at', 'timestamp'), ('expected_close_on', 'date'), ('is_won', 'boolean'),
            ('opportunity_amount', 'decimal(18, 2)'),
        ],
        'opportunity_stages': [
            ('opportunity_stage_key', text), ('source', text), ('opportunity_key', text),
            ('entered_at', 'timestamp'), ('stage', text),
        ],
        'owners': [
            ('owner_key', text), ('source', text), ('team', text), ('region', text), ('role', text),
        ],
        'inventory': [
            ('inventory_key', text), ('source', text), ('product_key', text),
            ('counted_at', 'timestamp'), ('on_hand_quantity', 'decimal(18, 3)'),
            ('on_order_quantity', 'decimal(18, 3)'), ('lead_time_days', 'integer'),
        ],
        'exchange_rates': [
            ('rate_key', text), ('source', text), ('currency', text), ('rated_on', 'date'),
            ('rate', 'decimal(18, 8)'),
        ],
    } -%}
    {{- return(shapes[entity]) -}}
{% endmacro %}


{#-
    The order in which the records of one customer are asked: one under the customer's own key goes
    first, then by source and key. No two are the same, so the order in which rows lie means nothing.
-#}
{% macro record_precedence() -%}
case when record_key = customer_key then '0' else '1' end || source || ' ' || record_key
{%- endmacro %}


{#- Aggregate: an attribute from the first record, in that order, that knows it. -#}
{% macro first_known(attribute) -%}
min_by({{ attribute }}, case when {{ attribute }} is not null then precedence end)
{%- endmacro %}


{% macro union_entity(entity) -%}
    {%- set columns = entity_columns(entity) -%}
    {%- set enabled = enabled_sources() -%}
    {%- for source_name, entities in var('providers').items() | sort if entity in entities -%}
        {%- if not execute or source_name in enabled -%}
            {%- set relation = ref('stg_' ~ source_name ~ '__' ~ entity) -%}
            {%- set links = ref('stg_' ~ source_name ~ '__customer_links')
                if 'customer_links' in entities and entity != 'customer_links' else none -%}
            {{ union_entity_member(columns, relation, links) }}

union all

        {% endif -%}
    {%- endfor %}
select
    {%- for name, data_type in columns %}
    cast(null as {{ data_type }}) as {{ name }}{{ ',' if not loop.last }}
    {%- endfor %}
where false
{%- endmacro %}


{#- One source's part of a union, its customer keys resolved where it brings links. -#}
{% macro union_entity_member(columns, relation, links) -%}
    {%- set held = columns | map('first') | list -%}
    {%- set linked = links is not none and 'customer_key' in held -%}
    {%- set has_parent = linked and 'parent_customer_key' in held -%}
select
    {%- for name, data_type in columns %}
        {%- if linked and name == 'customer_key' %}
    coalesce(links.linked_customer_key, entity.customer_key) as customer_key{{ ',' if not loop.last }}
        {%- elif has_parent and name == 'parent_customer_key' %}
    coalesce(parents.linked_customer_key, entity.parent_customer_key) as parent_customer_key{{ ',' if not loop.last }}
        {%- elif name == 'record_key' %}
    entity.customer_key as record_key{{ ',' if not loop.last }}
        {%- else %}
    entity.{{ name }}{{ ',' if not loop.last }}
        {%- endif %}
    {%- endfor %}
from {{ relation }} as entity
    {%- if linked %}
left join {{ links }} as links on entity.customer_key = links.customer_key
    {%- endif %}
    {%- if has_parent %}
left join {{ links }} as parents on entity.parent_customer_key = parents.customer_key
    {%- endif %}
{%- endmacro %}
