{{ config(materialized='table') }}

with opportunities as (

    select * from {{ ref('int_opportunities__as_of') }}

),

listed as (

    select * from {{ ref('opportunity_stages') }}

),

entered as (

    select
        stages.source,
        stages.opportunity_key,
        stages.stage,
        coalesce(listed.stage_order, other.stage_order, 90) as stage_order,
        coalesce(listed.default_rate, other.default_rate) as default_rate,
        stages.entered_on,
        case when stages.left_on <= opportunities.as_of then stages.days_in_stage end as days_in_stage
    from {{ ref('fct_opportunity_stages') }} as stages
    inner join opportunities on stages.opportunity_key = opportunities.opportunity_key
    left join listed on lower(trim(stages.stage)) = listed.stage
    left join listed as other on other.stage = 'other'
    where
        not stages.is_closing
        and stages.stage is not null
        and (stages.entered_on <= opportunities.as_of or stages.entered_on is null)

),

stages as (

    select
        source,
        stage,
        min(stage_order) as stage_order,
        min(default_rate) as default_rate
    from entered
    group by source, stage

),

-- of an opportunity that was in a stage twice, the first time and all its days
first_entered as (

    select
        opportunity_key,
        stage,
        min(entered_on) as entered_on,
        sum(days_in_stage) as days_in_stage
    from entered
    group by opportunity_key, stage

)

-- who reached a stage or one behind it has been through it
select
    stages.source,
    stages.stage,
    stages.stage_order,
    stages.default_rate,
    opportunities.opportunity_key,
    opportunities.is_won,
    coalesce(opportunities.is_won, false) or opportunities.reached_order > stages.stage_order as is_advanced,
    first_entered.days_in_stage,
    {{ days_between('coalesce(first_entered.entered_on, opportunities.opened_on)', 'opportunities.closed_on') }}
        as days_to_close
from stages
inner join opportunities
    on
        stages.source = opportunities.source
        and stages.stage_order <= opportunities.reached_order
left join first_entered
    on
        opportunities.opportunity_key = first_entered.opportunity_key
        and stages.stage = first_entered.stage
