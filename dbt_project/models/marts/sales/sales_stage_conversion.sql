with passed as (

    select * from {{ ref('int_opportunities__passed') }}

),

counted as (

    select
        source,
        stage,
        min(stage_order) as stage_order,
        min(default_rate) as default_rate,
        count(*) as entered_count,
        count(case when is_advanced then 1 end) as advanced_count,
        count(case when not is_advanced and not is_won then 1 end) as lost_count,
        count(case when is_won then 1 end) as won_count,
        count(is_won) as decided_count,
        median(days_in_stage) as median_days_in_stage,
        median(days_to_close) as median_days_to_close
    from passed
    group by source, stage

),

left_it as (

    select
        *,
        advanced_count + lost_count as left_count
    from counted

)

select
    source,
    stage,
    stage_order,
    entered_count,
    advanced_count,
    lost_count,
    entered_count - left_count as waiting_count,
    {{ mean_of('advanced_count', 'left_count') }} as conversion_rate,
    {{ rate_end('-', 'advanced_count', 'left_count') }} as conversion_low_rate,
    {{ rate_end('+', 'advanced_count', 'left_count') }} as conversion_high_rate,
    decided_count,
    {{ mean_of('won_count', 'decided_count') }} as win_rate,
    default_rate,
    cast(median_days_in_stage as double) as median_days_in_stage,
    cast(median_days_to_close as double) as median_days_to_close
from left_it
