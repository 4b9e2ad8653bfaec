{#- Training cut-offs go back from the evaluation's by 30 days at a time, at most this often. -#}
{%- set training_cut_offs = 12 -%}
{#- A year before, customers need a history long enough for the value model to know them. -#}
{%- set season_history_days = 180 -%}
{%- set year_days = 365 -%}

with settings as (

    select
        as_of,
        horizon_days,
        clv_holdout_days
    from {{ source('control', 'run_settings') }}

),

beginnings as (

    select
        min(ordered_on) as first_on,
        min(ordered_on) as first_order_on
    from {{ ref('int_orders__sequenced') }}

    union all

    select
        min(started_on) as first_on,
        cast(null as date) as first_order_on
    from {{ ref('fct_subscriptions') }}

),

history as (

    select
        min(first_on) as first_on,
        min(first_order_on) as first_order_on
    from beginnings

),

steps as (

    {% for step in range(training_cut_offs + 1) %}
    select cast({{ step }} as integer) as step{{ ' union all' if not loop.last }}
    {% endfor %}

),

fixed as (

    select
        as_of as cut_off_on,
        horizon_days,
        'scoring' as purpose
    from settings

    union all

    select
        {{ add_days('as_of', '-horizon_days') }} as cut_off_on,
        horizon_days,
        'churn_evaluation' as purpose
    from settings

    union all

    select
        {{ add_days('as_of', '-clv_holdout_days') }} as cut_off_on,
        clv_holdout_days as horizon_days,
        'clv_evaluation' as purpose
    from settings

),

-- their label windows end before the evaluation's begins
training as (

    select
        {{ add_days('settings.as_of', '-2 * settings.horizon_days - 30 * steps.step') }} as cut_off_on,
        settings.horizon_days,
        'churn_training' as purpose
    from settings
    cross join steps

),

-- in between: their label windows overlap the evaluation's, so they serve the last fit only
refit as (

    select
        {{ add_days('settings.as_of', '-settings.horizon_days - 30 * steps.step') }} as cut_off_on,
        settings.horizon_days,
        'churn_refit' as purpose
    from settings
    cross join steps
    where steps.step > 0 and 30 * steps.step < settings.horizon_days

),

-- their label windows end where the value model's holdout begins, and each other begins
value_past as (

    select
        {{ add_days('as_of', '-2 * clv_holdout_days') }} as cut_off_on,
        clv_holdout_days as horizon_days,
        'clv_selection' as purpose
    from settings

    union all

    select
        {{ add_days('as_of', '-3 * clv_holdout_days') }} as cut_off_on,
        clv_holdout_days as horizon_days,
        'clv_learning' as purpose
    from settings

),

season_horizons as (

    select horizon_days from {{ ref('value_horizons') }}

    union

    select clv_holdout_days as horizon_days from settings

),

-- a year before the holdout and before today, where a horizon is shorter than the year
value_seasons as (

    select
        {{ add_days('as_of', '-clv_holdout_days - ' ~ year_days) }} as cut_off_on,
        clv_holdout_days as horizon_days,
        'clv_season_evaluation' as purpose
    from settings
    where clv_holdout_days < {{ year_days }}

    union all

    select
        {{ add_days('settings.as_of', -year_days) }} as cut_off_on,
        season_horizons.horizon_days,
        'clv_season' as purpose
    from settings
    cross join season_horizons
    where season_horizons.horizon_days < {{ year_days }}

),

past as (

    select * from training

    union all

    select * from refit

    union all

    select * from value_past

)

select * from fixed

union all

-- a cut-off needs a month of history before it
select past.*
from past
cross join history
where past.cut_off_on >= {{ add_days('history.first_on', 30) }}

union all

select value_seasons.*
from value_seasons
cross join history
where value_seasons.cut_off_on >= {{ add_days('history.first_order_on', season_history_days) }}
