{#-
    Means, rates and their 95 % intervals, from counts and sums.

    Sums of DECIMAL do not depend on the order of rows; each macro takes such sums and calculates in
    DOUBLE once, at the end. Where there is nothing to say an interval is null.
-#}

{#- 97.5 % point of the normal distribution. -#}
{% macro normal_point() -%}1.959963984540054{%- endmacro %}


{#- A total per unit of what it is divided by; null where that is nothing. -#}
{% macro mean_of(total, count) -%}
    cast({{ total }} as double) / nullif(cast({{ count }} as double), 0)
{%- endmacro %}


{#- Squared standard error of a mean (n - 1 below the sum of squared distances); null below two values. -#}
{% macro squared_error_of_mean(total, squares, count) -%}
    case
        when {{ count }} > 1
            then greatest(
                0,
                cast({{ squares }} as double) - cast({{ total }} as double) * cast({{ total }} as double) / {{ count }}
            ) / ({{ count }} - 1.0) / {{ count }}
    end
{%- endmacro %}


{#- Lower (side '-') or upper ('+') end of a mean's normal interval. -#}
{% macro mean_end(side, total, squares, count) -%}
    {{ mean_of(total, count) }} {{ side }} {{ normal_point() }} * sqrt({{ squared_error_of_mean(total, squares, count) }})
{%- endmacro %}


{#- Lower ('-') or upper ('+') end of a rate's Wilson interval: within 0 to 1, also for few and for all. -#}
{% macro rate_end(side, successes, count) -%}
    {%- set rate = '(cast(' ~ successes ~ ' as double) / ' ~ count ~ ')' -%}
    {%- set z = normal_point() -%}
    case
        when {{ count }} > 0 and {{ successes }} is not null
            -- what rounding lets stick out is cut
            then least(1, greatest(0, (
                {{ rate }} + {{ z }} * {{ z }} / (2 * {{ count }})
                {{ side }} {{ z }} * sqrt(
                    {{ rate }} * (1 - {{ rate }}) / {{ count }} + {{ z }} * {{ z }} / (4.0 * {{ count }} * {{ count }})
                )
            ) / (1 + {{ z }} * {{ z }} / {{ count }})))
    end
{%- endmacro %}


{#- Net promoter score: % promoters minus % detractors, in points from -100 to 100. -#}
{% macro net_promoter_score(promoters, detractors, count) -%}
    100.0 * ({{ promoters }} - {{ detractors }}) / nullif({{ count }}, 0)
{%- endmacro %}


{#-
    Lower ('-') or upper ('+') end of its normal interval. Each answer counts 1, 0 or -1, so the
    variance of one is p + d - (p - d)^2 for shares p of promoters and d of detractors.
-#}
{% macro net_promoter_end(side, promoters, detractors, count) -%}
    case
        when {{ count }} > 1
            then {{ net_promoter_score(promoters, detractors, count) }} {{ side }} 100 * {{ normal_point() }} * sqrt(
                (
                    cast({{ promoters }} + {{ detractors }} as double) / {{ count }}
                    - power(cast({{ promoters }} - {{ detractors }} as double) / {{ count }}, 2)
                ) / {{ count }}
            )
    end
{%- endmacro %}


{#- What an answer on the 11-point scale makes of who gave it; null on other scales. -#}
{% macro nps_class(score, lowest_score, highest_score) -%}
    case
        when {{ lowest_score }} <> 0 or {{ highest_score }} <> 10 or {{ score }} is null then null
        when {{ score }} >= 9 then 'promoter'
        when {{ score }} >= 7 then 'passive'
        else 'detractor'
    end
{%- endmacro %}
