with settings as (

    select as_of from {{ source('control', 'run_settings') }}

),

-- what a planned campaign will cost is not spent yet
campaigns as (

    select campaigns.*
    from {{ ref('dim_campaigns') }} as campaigns
    inner join settings on coalesce(campaigns.started_on, settings.as_of) <= settings.as_of

),

people as (

    select
        campaign_key,
        sum(touch_count) as touch_count,
        sum(case when is_control then 0 else 1 end) as reached_count,
        sum(case when is_control then 1 else 0 end) as held_back_count,
        sum(case when not is_control then responses end) as response_count,
        sum(case when not is_control then conversions end) as conversion_count,
        sum(case when not is_control then response_amount end) as revenue_amount,
        sum(cost_amount) as cost_amount
    from {{ ref('int_campaign_people') }}
    group by campaign_key

),

performance as (

    select
        campaigns.campaign_key,
        campaigns.source,
        campaigns.campaign_name,
        campaigns.channel,
        campaigns.started_on,
        coalesce(people.touch_count, 0) as touch_count,
        coalesce(people.reached_count, 0) as reached_count,
        coalesce(people.held_back_count, 0) as held_back_count,
        people.response_count,
        people.conversion_count,
        people.revenue_amount,
        -- the campaign's own cost is the whole of it; else it is what its touches cost
        coalesce(campaigns.cost_amount, people.cost_amount) as cost_amount
    from campaigns
    left join people on campaigns.campaign_key = people.campaign_key

),

-- a rate is of those of whom it would be known
known as (

    select
        *,
        response_count as campaign_response_count,
        case when response_count is not null then reached_count end as campaign_response_base_count,
        conversion_count as campaign_conversion_count,
        case when conversion_count is not null then reached_count end as campaign_conversion_base_count,
        case when cost_amount is not null then revenue_amount end as campaign_returned_amount,
        case when revenue_amount is not null then cost_amount end as campaign_spent_amount
    from performance

)

select
    campaign_key,
    source,
    campaign_name,
    channel,
    started_on,
    cast(touch_count as bigint) as touch_count,
    cast(reached_count as bigint) as reached_count,
    cast(held_back_count as bigint) as held_back_count,
    cast(response_count as bigint) as response_count,
    {{ metric('campaign_response_rate') }} as response_rate,
    {{ rate_end('-', 'response_count', 'reached_count') }} as response_low_rate,
    {{ rate_end('+', 'response_count', 'reached_count') }} as response_high_rate,
    cast(conversion_count as bigint) as conversion_count,
    {{ metric('campaign_conversion_rate') }} as conversion_rate,
    {{ rate_end('-', 'conversion_count', 'reached_count') }} as conversion_low_rate,
    {{ rate_end('+', 'conversion_count', 'reached_count') }} as conversion_high_rate,
    cast(revenue_amount as decimal(18, 2)) as revenue_amount,
    cast(cost_amount as decimal(18, 2)) as cost_amount,
    {{ metric('return_on_spend') }} as return_on_spend
from known
