{#-
    Metrics are defined once, in models/semantic: marts say `measure('gross_amount')` where they
    aggregate facts and `metric('net_amount')` where they combine what is aggregated.

    A unit test compiles a model without dbt's graph: `crm-dbt test` lends it the metrics.
-#}

{#- The semantic models or metrics; stops where dbt has not been given any. -#}
{% macro _defined(kind) -%}
    {%- if not graph.get(kind) -%}
        {{- exceptions.raise_compiler_error(
            'the metrics are not known here: dbt\'s unit tests of marts run with `crm-dbt test`, not `dbt test`'
        ) -}}
    {%- endif -%}
    {{- return(graph[kind].values()) -}}
{%- endmacro %}


{#- The aggregate of a measure over the rows of its model: `sum(line_amount)`. -#}
{% macro measure(name) -%}
    {%- if not execute -%}{{- return('null') -}}{%- endif -%}
    {%- for model in _defined('semantic_models') -%}
        {%- for found in model.measures if found.name == name -%}
            {%- set of = found.expr or found.name -%}
            {%- if found.agg == 'count_distinct' -%}
                {{- return('count(distinct ' ~ of ~ ')') -}}
            {%- elif found.agg in ('sum', 'count', 'min', 'max', 'median') -%}
                {{- return(found.agg ~ '(' ~ of ~ ')') -}}
            {%- elif found.agg == 'average' -%}
                {{- return('avg(' ~ of ~ ')') -}}
            {%- elif found.agg == 'percentile' -%}
                {{- return(percentile_of(of, found.agg_params.percentile)) -}}
            {%- endif -%}
            {{- exceptions.raise_compiler_error(
                'measure ' ~ name ~ ': no mart can take the aggregate ' ~ found.agg ~ ' yet (macros/metrics.sql)'
            ) -}}
        {%- endfor -%}
    {%- endfor -%}
    {{- exceptions.raise_compiler_error('no semantic model has a measure called ' ~ name) -}}
{%- endmacro %}


{#- A derived or ratio metric, over columns that are called like the metrics it is made of. -#}
{% macro metric(name) -%}
    {%- if not execute -%}{{- return('null') -}}{%- endif -%}
    {%- for found in _defined('metrics') if found.name == name -%}
        {%- set said = found.type_params -%}
        {%- if found.type == 'ratio' -%}
            {{- return(mean_of(said.numerator.name, said.denominator.name)) -}}
        {%- elif found.type == 'derived' -%}
            {{- return(said.expr) -}}
        {%- endif -%}
        {{- exceptions.raise_compiler_error('metric ' ~ name ~ ' is of one measure: say measure()') -}}
    {%- endfor -%}
    {{- exceptions.raise_compiler_error('no metric is called ' ~ name) -}}
{%- endmacro %}


{#- Where measures are: a list of (semantic model's table, its day, names of the measures counted by that day). -#}
{% macro metric_places() -%}
    {%- set places = {} -%}
    {%- for model in _defined('semantic_models') | sort(attribute='name') if model.measures -%}
        {%- set days = {} -%}
        {%- for dimension in model.dimensions if dimension.type == 'time' -%}
            {%- do days.update({dimension.name: dimension.expr or dimension.name}) -%}
        {%- endfor -%}
        {%- for found in model.measures -%}
            {%- set day = days[found.agg_time_dimension or model.defaults.agg_time_dimension] -%}
            {%- do places.setdefault((model.node_relation.alias, day), []).append(found.name) -%}
        {%- endfor -%}
    {%- endfor -%}
    {{- return(places.items() | list) -}}
{%- endmacro %}


{#- Names of the metrics of some types, sorted. -#}
{% macro metrics_of(types) -%}
    {%- set names = [] -%}
    {%- for found in _defined('metrics') if found.type in types -%}
        {%- do names.append(found.name) -%}
    {%- endfor -%}
    {{- return(names | sort) -}}
{%- endmacro %}


{#- The measures of some places, each with the place's column, and whether its metric is 0 without facts. -#}
{% macro measured_columns(places) -%}
    {%- set is_zero = {} -%}
    {%- for found in _defined('metrics') if found.type == 'simple' -%}
        {%- do is_zero.update({found.name: found.type_params.measure.fill_nulls_with == 0}) -%}
    {%- endfor -%}
    {%- set columns = [] -%}
    {%- for place, names in places -%}
        {%- set at = 'place_' ~ loop.index ~ '.' -%}
        {%- for name in names -%}
            {%- do columns.append({'name': name, 'column': at ~ name, 'is_zero': is_zero[name]}) -%}
        {%- endfor -%}
    {%- endfor -%}
    {{- return(columns) -}}
{%- endmacro %}
