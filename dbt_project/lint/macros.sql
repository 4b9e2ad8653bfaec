{#- Macros that work on lists, as sqlfluff sees them; read by sqlfluff only, after ../macros. -#}
{% macro return(value) %}{{ value }}{% endmacro %}

{% macro union_entity(entity) %}select '{{ entity }}' as entity_name{% endmacro %}

{% macro is_fed(entity) %}true{% endmacro %}

{% macro business_time_zone() %}UTC{% endmacro %}

{% macro namespace_of(source_name) %}{{ source_name }}{% endmacro %}

{% macro in_part() %}{% endmacro %}

{% macro raw_rows(source_name, table_name) %}{{ source_name }}__{{ table_name }}{% endmacro %}

{% macro raw_versions(source_name, table_name) %}{{ source_name }}__{{ table_name }}{% endmacro %}

{% macro is_touched(column, keys_model) %}{{ column }} is not null{% endmacro %}

{% macro touched_records(kind) %}select '{{ kind }}' as kind{% endmacro %}

{% macro measure(name) %}count({{ name }}){% endmacro %}

{% macro metric(name) %}{{ name }}_of_two{% endmacro %}

{% macro mentions(kind) %}select '{{ kind }}' as kind{% endmacro %}

{% macro named_by_touched_facts(kind) %}{% endmacro %}

{% macro first_days_of_facts() %}{% endmacro %}

{% macro touched_facts(kind, fact, names) %}select '{{ kind }}' as kind{% endmacro %}

{% macro timeline_of_touched_customers() %}select 'order_placed' as event{% endmacro %}

{% macro in_company_currency(cte, entity, day, also=[]) %}select * from {{ cte }}{% endmacro %}

{% macro converted(cte, entity, day, also, currencies) %}select * from {{ cte }}{% endmacro %}

{% macro attributes_in_company_currency(cte, entity, also=[]) %}select * from {{ cte }}{% endmacro %}

{% macro rows_without_rate(relation, entity, row_key, key, keys, day, amount) -%}
select
    source,
    '{{ entity }}' as entity,
    {{ row_key }} as row_key,
    {{ keys | join(', ') }},
    {{ day }} as happened_on,
    'EUR' as currency,
    {{ amount }} as own_amount
from {{ relation }} as facts
{%- endmacro %}
