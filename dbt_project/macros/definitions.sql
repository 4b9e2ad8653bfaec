{#-
    Definitions that more than one model needs, each stated once.
-#}

{#-
    Lifecycle stage on a day, from the customer's orders up to that day.
    leaving: no order for more than 3 rhythms; confirmation: one order; growth: two or more, and the
    latest gap is shorter than the one before or the second order is less than 2 rhythms old;
    maintenance: the rest. Without any rhythm (nobody ordered twice) nobody leaves.
-#}
{% macro lifecycle_stage(on_day, last_order_on, order_count, is_shortening, second_order_on, rhythm_days) -%}
    case
        when {{ days_between(last_order_on, on_day) }} > 3 * {{ rhythm_days }} then 'leaving'
        when {{ order_count }} = 1 then 'confirmation'
        when
            {{ is_shortening }}
            or {{ days_between(second_order_on, on_day) }} < 2 * {{ rhythm_days }}
            then 'growth'
        else 'maintenance'
    end
{%- endmacro %}


{#- True where a spell that begins with an order day and ends before the next covers a day. -#}
{% macro spell_covers(spell, on_day) -%}
    {{ spell }}.ordered_on <= {{ on_day }} and {{ spell }}.next_order_on > {{ on_day }}
{%- endmacro %}


{#- 1 to 5 in fifths: 1 + floor(5 x rows strictly worse / rows), so equal values score alike. -#}
{% macro quintile_score(partition_by, worst_first) -%}
    cast(
        1 + floor(
            5.0 * (rank() over (partition by {{ partition_by }} order by {{ worst_first }}) - 1)
            / count(*) over (partition by {{ partition_by }})
        ) as integer
    )
{%- endmacro %}
