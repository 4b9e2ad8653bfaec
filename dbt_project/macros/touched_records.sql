{#- Records of a kind that changed rows name: their key and, as sources may share one, their source. -#}
{% macro touched_records(kind) -%}
    {%- for source_name in enabled_sources() if in_part() -%}
select distinct
    '{{ namespace_of(source_name) }}:' || id as {{ kind }}_key,
    source || ' {{ namespace_of(source_name) }}:' || id as record_id
from {{ touched_ids() }}
where kind = '{{ kind }}' and source = '{{ source_name }}'

union all

    {% endfor %}
select
    cast(null as {{ dbt.type_string() }}) as {{ kind }}_key,
    cast(null as {{ dbt.type_string() }}) as record_id
where false
{%- endmacro %}
