{#-
    What models may know about sources: which are enabled, which namespace their keys carry.
    The environment is read only while compiling: a changed setting never makes dbt parse again.
-#}

{#- The names in CRM_SOURCES, sorted; stops at one that feeds no entity. -#}
{% macro enabled_sources() %}
    {%- set enabled = [] -%}
    {%- if execute -%}
        {%- for name in env_var('CRM_SOURCES', 'demo').split(',') -%}
            {%- if name | trim not in var('providers') -%}
                {{- exceptions.raise_compiler_error(
                    'CRM_SOURCES names "' ~ name | trim ~ '", which feeds no entity; known are '
                    ~ var('providers').keys() | sort | join(', ')
                    ~ ' (vars.providers in dbt_project.yml).'
                ) -}}
            {%- endif -%}
            {%- do enabled.append(name | trim) -%}
        {%- endfor -%}
    {%- endif -%}
    {{- return(enabled | unique | sort | list) -}}
{% endmacro %}


{#- True where an enabled source feeds the entity. While parsing, every entity counts as fed. -#}
{% macro is_fed(entity) %}
    {%- set feeding = namespace(found=not execute) -%}
    {%- for source_name in enabled_sources() if entity in var('providers')[source_name] -%}
        {%- set feeding.found = true -%}
    {%- endfor -%}
    {{- return(feeding.found) -}}
{% endmacro %}


{#- The prefix of a source's customer and product keys: config.meta.namespace, else its name. -#}
{% macro namespace_of(source_name) %}
    {%- if execute and graph -%}
        {%- for node in graph.sources.values() if node.source_name == source_name -%}
            {%- set named = (node.config.meta or {}).get('namespace') or (node.source_meta or {}).get('namespace') -%}
            {%- if named -%}{{- return(named) -}}{%- endif -%}
        {%- endfor -%}
    {%- endif -%}
    {{- return(source_name) -}}
{% endmacro %}


{#- <prefix>:<id>; null where the id is null or blank. -#}
{% macro prefixed_key(prefix, column) -%}
    '{{ prefix }}:' || nullif(trim(cast({{ column }} as {{ dbt.type_string() }})), '')
{%- endmacro %}


{% macro customer_key(source_name, column) -%}
    {{ prefixed_key(namespace_of(source_name), column) }}
{%- endmacro %}


{% macro product_key(source_name, column) -%}
    {{ prefixed_key(namespace_of(source_name), column) }}
{%- endmacro %}


{#- The document (invoice, basket, credit note) a line stands on; lines without one share a key. -#}
{% macro document_key(source_name, column) -%}
    '{{ source_name }}:' || coalesce(trim(cast({{ column }} as {{ dbt.type_string() }})), '')
{%- endmacro %}


{#-
    What stands for a row of a raw table without a key: a digest of its values. Together with a
    number among identical rows it is a key that no renamed or further file changes.
-#}
{% macro row_digest(columns) -%}
    md5(
        {%- for column in columns %}
        coalesce(cast({{ column }} as {{ dbt.type_string() }}), '') || '|'{{ ' ||' if not loop.last }}
        {%- endfor %}
    )
{%- endmacro %}


{#- Keys of everything else: orders, returns, adjustments. -#}
{% macro entity_key(source_name, column) -%}
    {{ prefixed_key(source_name, column) }}
{%- endmacro %}


{#-
    The key of somebody whom a source knows by name only: the name itself stays in staging. Ways to
    write one name (case, spaces around it) give one key; null where it is null or blank.
-#}
{% macro pseudonymous_key(source_name, column) -%}
    '{{ source_name }}:' || {{ short_digest('lower(nullif(trim(' ~ column ~ "), ''))") }}
{%- endmacro %}
