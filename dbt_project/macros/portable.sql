{#-
    The few expressions that differ between DuckDB and Spark and that dbt has no macro for.
    DuckDB's forms are chosen for speed: they run on every line of every order.
-#}

{#- Whole days from one date to a later one; both arguments are dates. -#}
{% macro days_between(start_on, end_on) -%}
    {{ return(adapter.dispatch('days_between')(start_on, end_on)) }}
{%- endmacro %}

{% macro default__days_between(start_on, end_on) -%}
    {{ dbt.datediff(start_on, end_on, 'day') }}
{%- endmacro %}

{% macro duckdb__days_between(start_on, end_on) -%}
    cast({{ end_on }} - {{ start_on }} as integer)
{%- endmacro %}


{#- A date some days later; a negative number goes back. -#}
{% macro add_days(date_on, days) -%}
    {{ return(adapter.dispatch('add_days')(date_on, days)) }}
{%- endmacro %}

{% macro default__add_days(date_on, days) -%}
    cast({{ dbt.dateadd('day', days, date_on) }} as date)
{%- endmacro %}

{% macro duckdb__add_days(date_on, days) -%}
    ({{ date_on }} + cast({{ days }} as integer))
{%- endmacro %}


{#- A date some months later, the day of month kept where it exists. -#}
{% macro add_months(date_on, months) -%}
    cast({{ dbt.dateadd('month', months, date_on) }} as date)
{%- endmacro %}


{#- First day of a date's month. -#}
{% macro month_of(date_on) -%}
    cast({{ dbt.date_trunc('month', date_on) }} as date)
{%- endmacro %}


{#- Months from one first-of-month to a later one. -#}
{% macro months_between(start_month, end_month) -%}
    cast(
        12 * (extract(year from {{ end_month }}) - extract(year from {{ start_month }}))
        + extract(month from {{ end_month }}) - extract(month from {{ start_month }}) as integer
    )
{%- endmacro %}


{#- ISO week number of a date: 1 to 53. -#}
{% macro iso_week(date_on) -%}
    cast(extract(week from {{ date_on }}) as integer)
{%- endmacro %}


{#- ISO weekday of a date: 1 = Monday to 7 = Sunday. -#}
{% macro iso_weekday(date_on) -%}
    {{ return(adapter.dispatch('iso_weekday')(date_on)) }}
{%- endmacro %}

{% macro default__iso_weekday(date_on) -%}
    cast(extract(dayofweek_iso from {{ date_on }}) as integer)
{%- endmacro %}

{% macro duckdb__iso_weekday(date_on) -%}
    cast(isodow({{ date_on }}) as integer)
{%- endmacro %}


{#- Twelve hexadecimal digits that stand for a text: 2^48 of them, so two of a thousand never meet. -#}
{% macro short_digest(text) -%}
    substring(md5({{ text }}), 1, 12)
{%- endmacro %}


{#- Seconds from one instant to a later one, each cut to the second. -#}
{% macro seconds_between(start_at, end_at) -%}
    {{ dbt.datediff(start_at, end_at, 'second') }}
{%- endmacro %}


{#- A value below which a share of the values lie, between two neighbours in proportion. -#}
{% macro percentile_of(values, share) -%}
    {{ return(adapter.dispatch('percentile_of')(values, share)) }}
{%- endmacro %}

{% macro default__percentile_of(values, share) -%}
    percentile({{ values }}, {{ share }})
{%- endmacro %}

{% macro duckdb__percentile_of(values, share) -%}
    quantile_cont({{ values }}, {{ share }})
{%- endmacro %}
