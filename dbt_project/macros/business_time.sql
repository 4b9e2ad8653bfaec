{#-
    Instants are stored in UTC; days are days of the company's time zone, CRM_TIMEZONE.
-#}

{% macro business_time_zone() %}
    {{- return(env_var('CRM_TIMEZONE', 'UTC') if execute else 'UTC') -}}
{% endmacro %}


{#- The business day of a UTC instant. -#}
{% macro business_day(instant) -%}
    {%- if business_time_zone() == 'UTC' -%}
        cast({{ instant }} as date)
    {%- else -%}
        {{ return(adapter.dispatch('business_day')(instant)) }}
    {%- endif -%}
{%- endmacro %}

{% macro default__business_day(instant) -%}
    cast(from_utc_timestamp({{ instant }}, '{{ business_time_zone() }}') as date)
{%- endmacro %}

{% macro duckdb__business_day(instant) -%}
    cast(timezone('{{ business_time_zone() }}', timezone('UTC', {{ instant }})) as date)
{%- endmacro %}


{#- The UTC instant at which a business day begins: for sources that know the day only. -#}
{% macro start_of_business_day(date_on) -%}
    {%- if business_time_zone() == 'UTC' -%}
        cast({{ date_on }} as timestamp)
    {%- else -%}
        {{ return(adapter.dispatch('start_of_business_day')(date_on)) }}
    {%- endif -%}
{%- endmacro %}

{% macro default__start_of_business_day(date_on) -%}
    to_utc_timestamp(cast({{ date_on }} as timestamp), '{{ business_time_zone() }}')
{%- endmacro %}

{% macro duckdb__start_of_business_day(date_on) -%}
    timezone('UTC', timezone('{{ business_time_zone() }}', cast({{ date_on }} as timestamp)))
{%- endmacro %}


{#- The UTC instant of a clock reading in the business time zone; a timestamp without a zone. -#}
{% macro utc_of_business_time(reading) -%}
    {{ start_of_business_day(reading) }}
{%- endmacro %}


{#- The reading of the company's clock at a UTC instant: a timestamp without a zone. -#}
{% macro business_clock(instant) -%}
    {%- if business_time_zone() == 'UTC' -%}
        cast({{ instant }} as timestamp)
    {%- else -%}
        {{ return(adapter.dispatch('business_clock')(instant)) }}
    {%- endif -%}
{%- endmacro %}

{% macro default__business_clock(instant) -%}
    from_utc_timestamp({{ instant }}, '{{ business_time_zone() }}')
{%- endmacro %}

{% macro duckdb__business_clock(instant) -%}
    timezone('{{ business_time_zone() }}', timezone('UTC', {{ instant }}))
{%- endmacro %}
