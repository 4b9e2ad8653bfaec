{{ config(materialized='table') }}

with touches as (

    select
        *,
        -- a touch that names nobody is a person of its own
        coalesce(customer_key, touch_key) as person_key
    from {{ ref('fct_campaign_touches') }}
    where campaign_key is not null

),

ranked as (

    select
        *,
        row_number() over (
            partition by campaign_key, person_key order by touched_at nulls first, touch_key
        ) as touch_number
    from touches

),

-- what a campaign records at all: then who has no entry did not respond, convert, spend
recorded as (

    select
        campaign_key,
        count(is_responded) > 0 as has_responses,
        count(is_converted) > 0 as has_conversions,
        count(response_amount) > 0 as has_amounts,
        count(cost_amount) > 0 as has_costs
    from touches
    group by campaign_key

),

people as (

    select
        campaign_key,
        person_key,
        -- by the first assignment: who was drawn into a group stays in it, whatever came later
        max(case when touch_number = 1 and is_control then 1 else 0 end) = 1 as is_control,
        max(case when touch_number = 1 then experiment_arm end) as experiment_arm,
        count(*) as touch_count,
        max(case when is_responded then 1 else 0 end) as responses,
        max(case when is_converted then 1 else 0 end) as conversions,
        sum(coalesce(response_amount, 0)) as response_amount,
        sum(coalesce(cost_amount, 0)) as cost_amount
    from ranked
    group by campaign_key, person_key

)

select
    people.campaign_key,
    people.person_key,
    people.is_control,
    case when people.is_control then 'control' else coalesce(people.experiment_arm, 'treated') end as arm,
    people.touch_count,
    case when recorded.has_responses then people.responses end as responses,
    case when recorded.has_conversions then people.conversions end as conversions,
    cast(case when recorded.has_amounts then people.response_amount end as decimal(18, 2)) as response_amount,
    cast(case when recorded.has_costs then people.cost_amount end as decimal(18, 4)) as cost_amount
from people
inner join recorded on people.campaign_key = recorded.campaign_key
