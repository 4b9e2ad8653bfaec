{#-
    Records of a kind that changed rows name: their key and, as sources may share one, their source;
    and whether a row of theirs went.
-#}
{% macro touched_records(kind) -%}
    {%- for source_name in enabled_sources() if in_part() -%}
select distinct
    '{{ namespace_of(source_name) }}:' || id as {{ kind }}_key,
    source || ' {{ namespace_of(source_name) }}:' || id as record_id,
    id in (
        select id from {{ shrunk_ids() }} where kind = '{{ kind }}' and source = '{{ source_name }}'
    ) as is_shrunk
from {{ touched_ids() }}
where kind = '{{ kind }}' and source = '{{ source_name }}'

union all

    {% endfor %}
select
    cast(null as {{ dbt.type_string() }}) as {{ kind }}_key,
    cast(null as {{ dbt.type_string() }}) as record_id,
    cast(null as boolean) as is_shrunk
where false
{%- endmacro %}
