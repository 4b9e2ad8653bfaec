{#-
    A history is whole: every key of its dimension has one current row, which says what the
    dimension says, and each row begins where the one before ends.
-#}
{% test whole_history(model, key, dimension, columns) %}
{#- in a partial build, what was replaced of the one is held against what was of the other -#}
{%- set dimension = get_where_subquery(dimension) -%}
with current_rows as (

    select * from {{ model }} where is_current

),

neighbours as (

    select
        {{ key }},
        valid_from_at,
        valid_to_at,
        lead(valid_from_at) over (partition by {{ key }} order by version_number) as next_from_at
    from {{ model }}

)

(
    select {{ columns | join(', ') }} from {{ dimension }}
    except
    select {{ columns | join(', ') }} from current_rows
)

union all

(
    select {{ columns | join(', ') }} from current_rows
    except
    select {{ columns | join(', ') }} from {{ dimension }}
)

union all

select {{ columns | join(', ') }} from {{ dimension }} where {{ key }} in (
    select {{ key }} from current_rows
    group by {{ key }}
    having count(*) > 1
)

union all

select {{ columns | join(', ') }} from {{ dimension }} where {{ key }} in (
    select {{ key }} from neighbours
    where
        coalesce(valid_to_at <> next_from_at, true) and (valid_to_at is not null or next_from_at is not null)
        or coalesce(valid_from_at > valid_to_at, false)
)
{% endtest %}
