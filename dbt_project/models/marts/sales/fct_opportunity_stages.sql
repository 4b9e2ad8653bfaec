{{ config(
    materialized='incremental',
    meta={'touched': {'opportunity_key': 'int_opportunities__touched'}},
) }}

with recorded as (

    select * from {{ ref('int_opportunity_stages__unioned') }}
    where {{ is_touched('opportunity_key', 'int_opportunities__touched') }}

),

opportunities as (

    select * from {{ ref('int_opportunities__unioned') }}
    where {{ is_touched('opportunity_key', 'int_opportunities__touched') }}

),

counted as (

    select
        opportunities.opportunity_key,
        opportunities.source,
        opportunities.stage,
        opportunities.is_won,
        opportunities.opened_at,
        opportunities.closed_at,
        count(recorded.opportunity_stage_key) as stage_count,
        count(case when recorded.stage = opportunities.stage then 1 end) as current_stage_count
    from opportunities
    left join recorded on opportunities.opportunity_key = recorded.opportunity_key
    group by
        opportunities.opportunity_key, opportunities.source, opportunities.stage, opportunities.is_won,
        opportunities.opened_at, opportunities.closed_at

),

-- of a source that keeps the present stage only: that it was opened, and how it ended
entered as (

    select
        opportunity_stage_key,
        source,
        opportunity_key,
        entered_at,
        stage
    from recorded

    union all

    select
        opportunity_key || ' opened' as opportunity_stage_key,
        source,
        opportunity_key,
        opened_at as entered_at,
        case when is_won is null then coalesce(stage, 'open') else 'open' end as stage
    from counted
    where stage_count = 0

    union all

    select
        opportunity_key || ' closed' as opportunity_stage_key,
        source,
        opportunity_key,
        closed_at as entered_at,
        coalesce(stage, case when is_won then 'won' else 'lost' end) as stage
    from counted
    where is_won is not null and current_stage_count = 0

),

stages as (

    select
        entered.*,
        {{ business_day('entered.entered_at') }} as entered_on,
        coalesce(
            opportunities.is_won is not null
            and entered.stage
            = coalesce(opportunities.stage, case when opportunities.is_won then 'won' else 'lost' end),
            false
        ) as is_closing
    from entered
    left join opportunities on entered.opportunity_key = opportunities.opportunity_key

),

-- what has no time came before what has one; what ends an opportunity comes last
ordered as (

    select
        *,
        row_number() over (
            partition by opportunity_key
            order by is_closing asc, entered_at asc nulls first, opportunity_stage_key asc
        ) as stage_number,
        lead(entered_at) over (
            partition by opportunity_key
            order by is_closing asc, entered_at asc nulls first, opportunity_stage_key asc
        ) as next_entered_at
    from stages

)

select
    opportunity_stage_key,
    opportunity_key,
    source,
    stage,
    cast(stage_number as integer) as stage_number,
    is_closing,
    entered_at,
    entered_on,
    next_entered_at as left_at,
    {{ business_day('next_entered_at') }} as left_on,
    {{ days_between('entered_on', business_day('next_entered_at')) }} as days_in_stage
from ordered
