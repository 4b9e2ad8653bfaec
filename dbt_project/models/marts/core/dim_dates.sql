{#- Whole years, from that of the first fact to that of the as-of date: 300 years at most. -#}
{%- set most_days = 110000 -%}

with facts as (

    select min(ordered_on) as fact_on from {{ ref('int_orders__sequenced') }}

    union all

    select min(returned_on) as fact_on from {{ ref('fct_returns') }}

    union all

    {{ first_days_of_facts() }}

    select as_of as fact_on from {{ source('control', 'run_settings') }}

),

bounds as (

    select
        cast({{ dbt.date_trunc('year', 'min(fact_on)') }} as date) as first_on,
        {{ add_days(add_months("cast(" ~ dbt.date_trunc('year', 'max(fact_on)') ~ " as date)", 12), -1) }} as last_on
    from facts

),

numbers as (

    {{ dbt.generate_series(most_days) }}

),

days as (

    select {{ add_days('bounds.first_on', 'numbers.generated_number - 1') }} as date_on
    from numbers
    cross join bounds
    where numbers.generated_number <= {{ days_between('bounds.first_on', 'bounds.last_on') }} + 1

)

select
    date_on,
    {{ month_of('date_on') }} as month,
    cast(extract(quarter from date_on) as integer) as quarter,
    cast(extract(year from date_on) as integer) as year,
    {{ iso_week('date_on') }} as iso_week,
    {{ iso_weekday('date_on') }} as weekday,
    {{ iso_weekday('date_on') }} >= 6 as is_weekend
from days
