with settings as (

    select as_of from {{ source('control', 'run_settings') }}

),

open_ones as (

    select * from {{ ref('sales_open_opportunities') }}

),

stages as (

    select
        source,
        stage,
        stage_order
    from {{ ref('sales_stage_conversion') }}

),

summed as (

    select
        open_ones.source,
        open_ones.stage,
        settings.as_of,
        {{ measure('open_opportunity_count') }} as opportunity_count,
        {{ measure('pipeline_amount') }} as open_amount,
        {{ measure('weighted_pipeline_amount') }} as weighted_amount,
        max(open_ones.win_rate) as win_rate,
        median(open_ones.age_days) as median_age_days,
        median({{ days_between('settings.as_of', 'open_ones.expected_close_on') }}) as days_to_close
    from open_ones
    cross join settings
    group by open_ones.source, open_ones.stage, settings.as_of

)

select
    summed.source,
    summed.stage,
    stages.stage_order,
    summed.as_of,
    summed.opportunity_count,
    cast(summed.open_amount as decimal(18, 2)) as open_amount,
    cast(summed.weighted_amount as decimal(18, 2)) as weighted_amount,
    summed.win_rate,
    cast(summed.median_age_days as double) as median_age_days,
    {{ add_days('summed.as_of', 'ceil(summed.days_to_close)') }} as expected_close_on
from summed
left join stages
    on
        summed.source = stages.source
        and summed.stage = stages.stage
