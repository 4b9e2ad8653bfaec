{#-
    A select that compares KPIs in the days before and after given dates.

    `days` has one row a day with the date in `date_column` and a column for each of `kpis`; `events`
    has event, changed_on and window_days (both are names of tables or CTEs). The days after begin with
    changed_on itself. Compared are the means of the days; the interval of their difference is
    Welch's with the normal point, for two windows of days that vary each in its own way.
-#}
{% macro before_and_after(days, date_column, kpis, events) -%}
with before_and_after_days as (

    select
        events.event,
        events.changed_on,
        events.window_days,
        days.{{ date_column }} >= events.changed_on as is_after,
        {%- for kpi in kpis %}
        days.{{ kpi }}{{ ',' if not loop.last }}
        {%- endfor %}
    from {{ events }} as events
    inner join {{ days }} as days
        on
            days.{{ date_column }} >= {{ add_days('events.changed_on', '-events.window_days') }}
            and days.{{ date_column }} < {{ add_days('events.changed_on', 'events.window_days') }}

),

before_and_after_values as (

    {%- for kpi in kpis %}
    select
        event,
        changed_on,
        window_days,
        is_after,
        '{{ kpi }}' as kpi,
        cast({{ kpi }} as decimal(18, 4)) as kpi_value
    from before_and_after_days
    {{ 'union all' if not loop.last }}
    {%- endfor %}

),

before_and_after_sums as (

    select
        event,
        changed_on,
        window_days,
        kpi,
        {%- for when, condition in [('before', 'not is_after'), ('after', 'is_after')] %}
        count(case when {{ condition }} then kpi_value end) as {{ when }}_day_count,
        sum(case when {{ condition }} then kpi_value end) as {{ when }}_total,
        sum(case when {{ condition }} then cast(kpi_value as decimal(30, 4)) * kpi_value end) as {{ when }}_squares{{ ',' if not loop.last }}
        {%- endfor %}
    from before_and_after_values
    group by event, changed_on, window_days, kpi

),

before_and_after_means as (

    select
        *,
        {%- for when in ['before', 'after'] %}
        {{ mean_of(when ~ '_total', when ~ '_day_count') }} as {{ when }}_mean,
        {{ squared_error_of_mean(when ~ '_total', when ~ '_squares', when ~ '_day_count') }} as {{ when }}_squared_error
        {{- ',' if not loop.last }}
        {%- endfor %}
    from before_and_after_sums

)

select
    event,
    changed_on,
    window_days,
    kpi,
    before_day_count,
    after_day_count,
    before_mean,
    after_mean,
    after_mean - before_mean as difference,
    after_mean - before_mean - {{ normal_point() }} * sqrt(before_squared_error + after_squared_error) as difference_low,
    after_mean - before_mean + {{ normal_point() }} * sqrt(before_squared_error + after_squared_error) as difference_high,
    (after_mean - before_mean) / nullif(abs(before_mean), 0) as change_share
from before_and_after_means
{%- endmacro %}
