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

{% macro mentions(kind) %}select '{{ kind }}' as kind{% endmacro %}

{% macro named_by_touched_facts(kind) %}{% endmacro %}

{% macro first_days_of_facts() %}{% endmacro %}

{% macro touched_facts(kind, fact, names) %}select '{{ kind }}' as kind{% endmacro %}

{% macro timeline_of_touched_customers() %}select 'order_placed' as event{% endmacro %}
