{#-
    Refreshing in proportion to what changed.

    Landing knows which orders, customers and products the changed rows name (control.touched).
    Staging models that say `rebuilt_by` then read the rows of those only, and incremental models
    replace just their rows. With CRM_SCOPE unset, or with --full-refresh, everything is rebuilt by
    the very same statements.
-#}

{#- True where this build replaces only what was touched. -#}
{% macro in_part() -%}
    {{- return(execute and not flags.FULL_REFRESH and env_var('CRM_SCOPE', 'all') == 'touched') -}}
{%- endmacro %}


{#-
    The raw table, for a staging model: all of it, or the rows that name a touched entity of the
    kind that the model is `rebuilt_by`. A table that does not name that kind is read whole, and a
    change in it rebuilds everything (landing/changes.py).
-#}
{% macro raw_rows(source_name, table_name) -%}
    {%- set kind = rebuilt_by() -%}
    {%- set number = identity_of(source_name, table_name, kind) if kind else none -%}
    {%- set relation = source(source_name, table_name) -%}
    {{- touched_rows(relation, source_name, number) if number else relation -}}
{%- endmacro %}


{#- The same for a model that holds one raw table's rows; `number` is the column that names them. -#}
{% macro touched_rows(relation, source_name, number) -%}
    {%- if in_part() -%}
    (
        select *
        from {{ relation }}
        where coalesce(trim(cast({{ number }} as {{ dbt.type_string() }})), '') in (
            select id from {{ touched_ids() }}
            where source = '{{ source_name }}' and kind = '{{ rebuilt_by() }}'
        )
    )
    {%- else -%}
    {{ relation }}
    {%- endif -%}
{%- endmacro %}


{#- The table that landing/changes.py fills before a partial build; state, not data, so no source. -#}
{% macro touched_ids() -%}
    {{- api.Relation.create(database=target.database, schema='control', identifier='touched') -}}
{%- endmacro %}


{#- What the rows of a staging model are rebuilt by: `meta.rebuilt_by` of the model being compiled. -#}
{% macro rebuilt_by() -%}
    {{- return((model.config.meta or {}).get('rebuilt_by') if execute else none) -}}
{%- endmacro %}


{#- SQL for the number by which a raw row names an entity of a kind; none if it names none. -#}
{% macro identity_of(source_name, table_name, kind) -%}
    {%- for node in graph.sources.values() if node.source_name == source_name and node.name == table_name -%}
        {%- for column in node.columns.values() -%}
            {%- set meta = column.config.meta or column.meta or {} -%}
            {%- if meta.get('identifies') == kind -%}
                {{- return(meta.get('identity') or column.name) -}}
            {%- endif -%}
        {%- endfor -%}
    {%- endfor -%}
    {{- return(none) -}}
{%- endmacro %}


{#-
    A condition on rows: in a partial build, that a key is among those of a touched-keys model;
    else true. The reference is made while parsing, so the graph does not depend on the kind of build.
-#}
{% macro is_touched(column, keys_model, key=none) -%}
    {%- if not execute or in_part() -%}
    {{ column }} in (select {{ key or (column.split('.') | last) }} from {{ ref(keys_model) }})
    {%- else -%}
    true
    {%- endif -%}
{%- endmacro %}


{#-
    What a model holds from the last build, before this one changes it: no edge in the graph, since
    the model itself depends on what is read here.
-#}
{% macro as_built(model_name) -%}
    {%- for node in graph.nodes.values() if node.resource_type == 'model' and node.name == model_name -%}
        {{- return(api.Relation.create(database=node.database, schema=node.schema, identifier=node.alias)) -}}
    {%- endfor -%}
{%- endmacro %}


{#-
    The strategy of every incremental model: rows whose key was touched go, and what the model now
    says of these keys comes. `meta.touched` maps columns to the models that list touched keys.
-#}
{% macro get_incremental_touched_sql(arguments) -%}
    {%- set target, incoming = arguments['target_relation'], arguments['temp_relation'] -%}
    {%- set columns = arguments['dest_columns'] | map(attribute='quoted') | join(', ') -%}
    delete from {{ target }}
    {%- if in_part() %}
    where
        {%- for column, keys_model in config.get('meta')['touched'].items() %}
        {{ 'or ' if not loop.first }}{{ column }} in (select {{ column }} from {{ ref(keys_model) }})
        {%- endfor %}
    {%- endif %};
    insert into {{ target }} ({{ columns }}) select {{ columns }} from {{ incoming }}
{%- endmacro %}
