{#-
    The history of a dimension: one row for each state that the records of a key were in, from
    `valid_from_at` until `valid_to_at` (exclusive; null is open). A model of it starts with its own
    CTEs, among them `dimension` (key, source, is_stub, first_seen_at), `records` (the newest
    version of every record: key, source, record_id, precedence, attributes) and `versions` (the
    same for the records whose source keeps versions, each version, with `changed_at`), and goes on
    with this.

    A record of a source without versions has been as it is for ever. What is known first of a key
    holds from the day it was first seen, so every fact finds a state. The last state is the
    dimension's own row: each attribute comes from the first record that knows it.
-#}
{% macro history_of(key, attributes, all_true=[]) -%}
described as (

    select
        {{ key }},
        source,
        record_id,
        precedence,
        changed_at,
        {{ attributes | join(',\n        ') }}
    from versions

    union all

    select
        records.{{ key }},
        records.source,
        records.record_id,
        records.precedence,
        cast(null as timestamp) as changed_at,
        records.{{ attributes | join(',\n        records.') }}
    from records
    left join (select distinct record_id from versions) as versioned
        on records.record_id = versioned.record_id
    where versioned.record_id is null

),

spans as (

    select
        *,
        lead(changed_at) over (partition by record_id order by changed_at asc nulls first) as replaced_at
    from described

),

-- whenever any of the records changed
moments as (

    select distinct
        {{ key }},
        changed_at
    from described

),

states as (

    select
        moments.{{ key }},
        moments.changed_at,
        min_by(spans.source, spans.precedence) as source,
        {%- for attribute in attributes %}
        {% if attribute in all_true -%}
        bool_and(spans.{{ attribute }}) as {{ attribute }}
        {%- else -%}
        min_by(spans.{{ attribute }}, case when spans.{{ attribute }} is not null then spans.precedence end) as {{ attribute }}
        {%- endif %}{{ ',' if not loop.last }}
        {%- endfor %}
    from moments
    inner join spans
        on
            moments.{{ key }} = spans.{{ key }}
            and (spans.changed_at is null or spans.changed_at <= moments.changed_at)
            and (spans.replaced_at is null or moments.changed_at is null or spans.replaced_at > moments.changed_at)
    group by moments.{{ key }}, moments.changed_at

),

neighbours as (

    select
        *,
        row_number() over (partition by {{ key }} order by changed_at asc nulls first) as state_number,
        {%- for attribute in ['source'] + attributes %}
        lag({{ attribute }}) over (partition by {{ key }} order by changed_at asc nulls first) as previous_{{ attribute }}{{ ',' if not loop.last }}
        {%- endfor %}
    from states

),

-- a record made anew with what it held before is no new state
changed as (

    select *
    from neighbours
    where
        state_number = 1
        {%- for attribute in ['source'] + attributes %}
        or not coalesce({{ attribute }} = previous_{{ attribute }}, {{ attribute }} is null and previous_{{ attribute }} is null)
        {%- endfor %}

),

numbered as (

    select
        *,
        row_number() over (partition by {{ key }} order by changed_at asc nulls first) as version_number,
        lead(changed_at) over (partition by {{ key }} order by changed_at asc nulls first) as valid_to_at
    from changed

),

dated as (

    select
        dimension.{{ key }},
        coalesce(numbered.version_number, 1) as version_number,
        coalesce(numbered.source, dimension.source) as source,
        dimension.is_stub,
        {%- for attribute in attributes %}
        {% if attribute in all_true -%}
        coalesce(numbered.{{ attribute }}, true) as {{ attribute }},
        {%- else -%}
        numbered.{{ attribute }},
        {%- endif %}
        {%- endfor %}
        case
            when numbered.version_number > 1 then numbered.changed_at
            when numbered.changed_at <= dimension.first_seen_at then numbered.changed_at
            -- seen first after the state had ended: since when it was so is not known
            when numbered.valid_to_at <= dimension.first_seen_at then numbered.changed_at
            else coalesce(dimension.first_seen_at, numbered.changed_at)
        end as valid_from_at,
        numbered.valid_to_at
    from dimension
    left join numbered on dimension.{{ key }} = numbered.{{ key }}

)

select
    *,
    {{ business_day('valid_from_at') }} as valid_from_on,
    {{ business_day('valid_to_at') }} as valid_to_on,
    valid_to_at is null as is_current
from dated
{%- endmacro %}
