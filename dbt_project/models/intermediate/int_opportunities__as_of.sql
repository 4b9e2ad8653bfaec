{{ config(materialized='table') }}

with settings as (

    select as_of from {{ source('control', 'run_settings') }}

),

listed as (

    select * from {{ ref('opportunity_stages') }}

),

entered as (

    select
        stages.opportunity_key,
        stages.stage,
        stages.stage_number,
        stages.is_closing,
        stages.entered_on,
        coalesce(listed.stage_order, other.stage_order, 90) as stage_order,
        coalesce(listed.default_rate, other.default_rate) as default_rate
    from {{ ref('fct_opportunity_stages') }} as stages
    cross join settings
    left join listed on lower(trim(stages.stage)) = listed.stage
    left join listed as other on other.stage = 'other'
    where stages.entered_on <= settings.as_of or stages.entered_on is null

),

reached as (

    select
        opportunity_key,
        max(stage_order) as reached_order,
        max_by(stage, stage_number) as stage,
        max_by(stage_order, stage_number) as stage_order,
        max_by(entered_on, stage_number) as entered_on,
        max_by(default_rate, stage_number) as default_rate
    from entered
    where not is_closing
    group by opportunity_key

),

-- what was decided after the as-of date is still open on it
opportunities as (

    select
        opportunities.*,
        settings.as_of,
        case
            when opportunities.closed_on is null or opportunities.closed_on <= settings.as_of then opportunities.is_won
        end as won_by_then
    from {{ ref('fct_opportunities') }} as opportunities
    cross join settings
    where opportunities.opened_on <= settings.as_of or opportunities.opened_on is null

)

select
    opportunities.opportunity_key,
    opportunities.source,
    opportunities.customer_key,
    opportunities.owner_key,
    opportunities.product_key,
    opportunities.as_of,
    opportunities.won_by_then as is_won,
    coalesce(
        reached.stage, case when opportunities.won_by_then is null then opportunities.stage end, 'open'
    ) as open_stage,
    reached.stage_order,
    reached.reached_order,
    reached.default_rate,
    reached.entered_on,
    opportunities.opened_on,
    case when opportunities.won_by_then is not null then opportunities.closed_on end as closed_on,
    case when opportunities.won_by_then is not null then opportunities.cycle_days end as cycle_days,
    opportunities.expected_close_on,
    coalesce(opportunities.opportunity_amount, 0) as opportunity_amount,
    case when opportunities.won_by_then then opportunities.won_amount else 0 end as won_amount
from opportunities
left join reached on opportunities.opportunity_key = reached.opportunity_key
