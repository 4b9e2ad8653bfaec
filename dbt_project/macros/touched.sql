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
    kind that the model is `rebuilt_by` (landing makes a view of these). A table that does not name
    that kind is read whole, and a change in it rebuilds everything (landing/changes.py).
-#}
{% macro raw_rows(source_name, table_name, beside='', news=false) -%}
    {%- set relation = source(source_name, table_name) -%}
    {#- in a unit test the rows that are given stand for the view beside the table -#}
    {%- if beside and not relation.is_cte -%}
        {%- set relation = relation.incorporate(path={'identifier': relation.identifier ~ beside}) -%}
    {%- endif -%}
    {%- set kind = (model.config.meta or {}).get('rebuilt_by') if execute else none -%}
    {%- if kind and in_part() and names(source_name, table_name, kind) -%}
        {%- set relation = api.Relation.create(
            database=target.database, schema='touched', identifier=relation.identifier ~ '__' ~ kind ~ ('__news' if news else '')
        ) -%}
    {%- endif -%}
    {{- relation -}}
{%- endmacro %}


{#- The same with every version of every key, of a raw table that states a version column. -#}
{% macro raw_versions(source_name, table_name) -%}
    {{- raw_rows(source_name, table_name, '__versions') -}}
{%- endmacro %}


{#-
    The raw table for a model that grows (`meta.grows`): what it aggregates of a row stays true
    when others come. All of the table, or the rows that came since the last build; of touched
    entities that lost a row, all of theirs. It adds what `grown_before` says it held of the others.
    Such a model reads neither _file nor _line: a renamed file brings no row.
-#}
{% macro raw_news(source_name, table_name) -%}
    {{- raw_rows(source_name, table_name, news=true) -}}
{%- endmacro %}

{% macro grown_before(columns, records_model) -%}
    {%- set records = ref(records_model) if not execute or in_part() -%}
    {%- if in_part() %}

    union all

    select {{ columns | join(', ') }}
    from {{ this }}
    where record_id in (select record_id from {{ records }} where not is_shrunk)
    {%- endif -%}
{%- endmacro %}


{#- Whether a column of a raw table identifies a kind of entity. -#}
{% macro names(source_name, table_name, kind) -%}
    {%- set found = namespace(is_named=false) -%}
    {%- for node in graph.sources.values() if node.source_name == source_name and node.name == table_name -%}
        {%- for column in node.columns.values() -%}
            {%- set kinds = (column.config.meta or column.meta or {}).get('identifies') or [] -%}
            {%- if kind in ([kinds] if kinds is string else kinds) -%}
                {%- set found.is_named = true -%}
            {%- endif -%}
        {%- endfor -%}
    {%- endfor -%}
    {{- return(found.is_named) -}}
{%- endmacro %}


{#- The tables that landing/changes.py fills before a partial build; state, not data, so no source. -#}
{% macro touched_ids() -%}
    {{- api.Relation.create(database=target.database, schema='control', identifier='touched') -}}
{%- endmacro %}

{#- Those of the touched ids of which a row went. -#}
{% macro shrunk_ids() -%}
    {{- api.Relation.create(database=target.database, schema='control', identifier='shrunk') -}}
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
    The order lines as they are after this build, for whoever reads those of touched orders: where
    these alone are made, what makes them has few rows, and fct_order_items all.
-#}
{% macro lines_made() -%}
    {#- both edges are made while parsing, so the graph does not depend on the kind of build -#}
    {%- set all_lines = ref('fct_order_items') if not (execute and in_part()) -%}
    {%- set of_touched = ref('int_order_items__dated') if not execute or in_part() -%}
    {{- of_touched if in_part() else all_lines -}}
{%- endmacro %}


{#-
    Where the order lines name a key, and when: all lines, or for touched keys so much that a
    minimum comes out the same. A key that none of the replaced lines named is named by what the
    model holds of it and by the new lines; of any other, all lines are read again.
-#}
{% macro sightings_in_lines(key, keys_model) -%}
    {%- set all_lines = ref('fct_order_items') -%}
    {%- if not execute or in_part() -%}
        {%- set of_touched = ref('int_order_items__dated') -%}
        {%- set documents, keys = ref('int_orders__touched'), ref(keys_model) -%}
        {%- set reread = 'select ' ~ key ~ ' from ' ~ documents ~ ' where ' ~ key ~ ' is not null' -%}
    {%- endif %}
    select
        {{ key }},
        source,
        ordered_at as first_ordered_at
    from {{ all_lines }}
    {%- if in_part() %}
    where {{ key }} in ({{ reread }})

    union all

    select
        {{ key }},
        source,
        ordered_at as first_ordered_at
    from {{ of_touched }}
    where
        order_key in (select order_key from {{ documents }})
        and {{ key }} not in ({{ reread }})

    union all

    select
        {{ key }},
        source,
        first_ordered_at
    from {{ this }}
    where
        {{ key }} in (select {{ key }} from {{ keys }})
        and {{ key }} not in ({{ reread }})
    {%- endif -%}
{%- endmacro %}


{#-
    The strategy of every incremental model: rows whose key was touched go, and what the model now
    says of these keys comes. `meta.touched` maps columns to the models that list touched keys;
    `meta.held`, for a big table, to their column that lists those of them with rows in it.

    A customer's hundredth order leaves what is said of the others as it is: a row that comes as it
    was stays where it is, since each one that goes and comes has DuckDB write its table anew. For
    that no model may have two equal rows (the harness looks for them in every one). The few rows
    of a big table's keys are replaced without looking.
-#}
{% macro get_incremental_touched_sql(arguments) -%}
    {%- set target, incoming = arguments['target_relation'], arguments['temp_relation'] -%}
    {%- set columns = arguments['dest_columns'] | map(attribute='quoted') | join(', ') -%}
    {%- set held = config.get('meta').get('held', {}) -%}
    {%- set touched = [] -%}
    {%- for column, keys_model in config.get('meta')['touched'].items() -%}
        {%- do touched.append(
            'there.' ~ column ~ ' in (select ' ~ held.get(column, column) ~ ' from ' ~ ref(keys_model) ~ ')'
        ) -%}
    {%- endfor -%}
    {%- set is_touched = '(' ~ touched | join(' or ') ~ ')' if in_part() else 'true' -%}
    {%- set same = same_row('there', 'here', arguments['dest_columns']) if in_part() and not held -%}

    delete from {{ target }} as there
    where {{ is_touched }}
        {%- if same %}
        and not exists (select 1 from {{ incoming }} as here where {{ same }})
        {%- endif %};
    insert into {{ target }} ({{ columns }})
    select {{ columns }}
    from {{ incoming }} as here
    {%- if same %}
    where not exists (select 1 from {{ target }} as there where {{ is_touched }} and {{ same }})
    {%- endif %}
{%- endmacro %}

{#- Whether two rows are the same, bit by bit: to a comparison of numbers 0.0 and -0.0 are equal. -#}
{% macro same_row(one, other, columns) -%}
    {%- for column in columns -%}
        {%- set value = 'cast(%s.%s as varchar)' if column.is_float() else '%s.%s' -%}
        {{ ' and ' if not loop.first -}}
        {{ value | format(one, column.quoted) }} is not distinct from {{ value | format(other, column.quoted) }}
    {%- endfor -%}
{%- endmacro %}


{#-
    Data tests of incremental models look at the rows that a partial build replaced: what it left
    was tested when it was made. Every test's keys lie within what is replaced together.
-#}
{% macro get_where_subquery(relation) -%}
    {%- set where = config.get('where') -%}
    {%- set touched = [] -%}
    {%- if in_part() -%}
        {%- for node in graph.nodes.values() if node.resource_type == 'model' and node.schema == relation.schema and node.alias == relation.identifier -%}
            {%- for column, keys_model in (node.config.meta or {}).get('touched', {}).items() -%}
                {%- do touched.append(
                    column ~ ' in (select ' ~ column ~ ' from ' ~ as_built(keys_model) ~ ')'
                ) -%}
            {%- endfor -%}
        {%- endfor -%}
    {%- endif -%}
    {%- set conditions = ([where] if where else []) + ([touched | join(' or ')] if touched else []) -%}
    {%- if conditions -%}
        {%- do return(
            '(select * from ' ~ relation ~ ' where (' ~ conditions | join(') and (') ~ ')) dbt_subquery'
        ) -%}
    {%- endif -%}
    {%- do return(relation) -%}
{%- endmacro %}
