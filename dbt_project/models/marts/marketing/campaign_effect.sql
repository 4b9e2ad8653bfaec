{%- set metrics = {'response': 'responses', 'conversion': 'conversions', 'amount': 'response_amount'} -%}

with people as (

    select * from {{ ref('int_campaign_people') }}

),

measured as (

    {% for metric, column in metrics.items() %}
    select
        campaign_key,
        arm,
        is_control,
        '{{ metric }}' as metric,
        cast({{ column }} as decimal(18, 2)) as measure
    from people
    where {{ column }} is not null
    {{ 'union all' if not loop.last }}
    {% endfor %}

),

-- sums of DECIMAL, so that the result does not depend on the order of rows
arms as (

    select
        campaign_key,
        arm,
        is_control,
        metric,
        count(*) as person_count,
        sum(measure) as total,
        sum(measure * measure) as squares
    from measured
    group by campaign_key, arm, is_control, metric

),

compared as (

    select
        treated.campaign_key,
        treated.arm as experiment_arm,
        treated.metric,
        treated.person_count as treated_count,
        control.person_count as control_count,
        {{ mean_of('treated.total', 'treated.person_count') }} as treated_mean,
        {{ mean_of('control.total', 'control.person_count') }} as control_mean,
        {{ mean_of('treated.total + control.total', 'treated.person_count + control.person_count') }} as pooled_mean,
        {{ squared_error_of_mean('treated.total', 'treated.squares', 'treated.person_count') }} as treated_error,
        {{ squared_error_of_mean('control.total', 'control.squares', 'control.person_count') }} as control_error
    from arms as treated
    inner join arms as control on treated.campaign_key = control.campaign_key and treated.metric = control.metric
    where not treated.is_control and control.is_control

),

-- a rate's variance is p (1 - p)
erring as (

    select
        *,
        treated_mean - control_mean as difference,
        case
            when metric = 'amount' then sqrt(treated_error + control_error)
            else sqrt(
                treated_mean * (1 - treated_mean) / treated_count + control_mean * (1 - control_mean) / control_count
            )
        end as standard_error,
        -- where nothing differs the two groups share one rate
        case
            when metric = 'amount' then sqrt(treated_error + control_error)
            else sqrt(pooled_mean * (1 - pooled_mean) * (1.0 / treated_count + 1.0 / control_count))
        end as null_error
    from compared

)

select
    campaign_key,
    experiment_arm,
    metric,
    treated_count,
    control_count,
    treated_mean,
    control_mean,
    difference,
    standard_error,
    difference / nullif(null_error, 0) as test_statistic,
    difference - {{ normal_point() }} * standard_error as difference_low,
    difference + {{ normal_point() }} * standard_error as difference_high
from erring
