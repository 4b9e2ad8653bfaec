{#-
    Metrics are defined once, in models/semantic: KPI marts say `measure('gross_amount')` where they
    aggregate facts and `metric('net_amount')` where they combine what is aggregated.
-#}

{#- The aggregate of a measure over the rows of its model: `sum(line_amount)`. -#}
{% macro measure(name) -%}
    {%- if not execute -%}{{- return('null') -}}{%- endif -%}
    {%- for model in graph.semantic_models.values() -%}
        {%- for found in model.measures if found.name == name -%}
            {%- set of = found.expr or found.name -%}
            {%- if found.agg == 'count_distinct' -%}
                {{- return('count(distinct ' ~ of ~ ')') -}}
            {%- elif found.agg in ('sum', 'count', 'min', 'max') -%}
                {{- return(found.agg ~ '(' ~ of ~ ')') -}}
            {%- elif found.agg == 'average' -%}
                {{- return('avg(' ~ of ~ ')') -}}
            {%- endif -%}
            {{- exceptions.raise_compiler_error(
                'measure ' ~ name ~ ': no KPI mart can take the aggregate ' ~ found.agg ~ ' yet (macros/metrics.sql)'
            ) -}}
        {%- endfor -%}
    {%- endfor -%}
    {{- exceptions.raise_compiler_error('no semantic model has a measure called ' ~ name) -}}
{%- endmacro %}


{#- A derived or ratio metric, over columns that are called like the metrics it is made of. -#}
{% macro metric(name) -%}
    {%- if not execute -%}{{- return('null') -}}{%- endif -%}
    {%- for found in graph.metrics.values() if found.name == name -%}
        {%- set said = found.type_params -%}
        {%- if found.type == 'ratio' -%}
            {{- return(said.numerator.name ~ ' / nullif(' ~ said.denominator.name ~ ', 0)') -}}
        {%- elif found.type == 'derived' -%}
            {{- return(said.expr) -}}
        {%- endif -%}
        {{- exceptions.raise_compiler_error('metric ' ~ name ~ ' is of one measure: say measure()') -}}
    {%- endfor -%}
    {{- exceptions.raise_compiler_error('no metric is called ' ~ name) -}}
{%- endmacro %}
