{#- A model's schema is the one it names: one warehouse is one company, so no prefix by target. -#}
{% macro generate_schema_name(custom_schema_name, node) -%}
    {{- (custom_schema_name or target.schema) | trim -}}
{%- endmacro %}
