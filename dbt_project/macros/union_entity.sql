{#-
    One shape for each canonical entity, whichever sources feed it.

    `union_entity(entity)` selects the entity's columns from the staging model of every enabled
    source. All providers are referenced while parsing, so lineage does not depend on settings, and
    the union ends in typed columns without a row, so that it always builds. Where a source brings
    `customer_links`, its own customer keys are replaced by the linked ones.
-#}

{#-
    Columns and types of an entity, in order. `customer_key` is resolved through the links; a
    customer record's key of its own stays as `record_key`, which staging models do not have.
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
    } -%}
    {{- return(shapes[entity]) -}}
{% endmacro %}


{% macro union_entity(entity) -%}
    {%- set columns = entity_columns(entity) -%}
    {%- set enabled = enabled_sources() -%}
    {%- for source_name, entities in var('providers').items() | sort if entity in entities -%}
        {%- set relation = ref('stg_' ~ source_name ~ '__' ~ entity) -%}
        {%- set links = ref('stg_' ~ source_name ~ '__customer_links')
            if 'customer_links' in entities and entity != 'customer_links' else none -%}
        {%- if source_name in enabled -%}
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
    {%- set linked = links is not none and 'customer_key' in columns | map('first') -%}
select
    {%- for name, data_type in columns %}
        {%- if linked and name == 'customer_key' %}
    coalesce(links.linked_customer_key, entity.customer_key) as customer_key{{ ',' if not loop.last }}
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
{%- endmacro %}
