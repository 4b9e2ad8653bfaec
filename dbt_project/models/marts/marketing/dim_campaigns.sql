with recorded as (

    select * from {{ ref('int_campaigns__unioned') }}

),

-- a cost without a rate is null: the campaign is one all the same
campaigns as (

    {{ converted('recorded', 'campaigns', business_day('recorded.started_at'), [], foreign_currencies()) }}

),

-- a campaign that touches name is one, with a record or without
named as (

    select
        campaign_key,
        min(source) as source
    from {{ ref('fct_campaign_touches') }}
    where campaign_key is not null
    group by campaign_key

)

select
    coalesce(campaigns.campaign_key, named.campaign_key) as campaign_key,
    coalesce(campaigns.source, named.source) as source,
    campaigns.campaign_key is null as is_stub,
    campaigns.campaign_name,
    campaigns.channel,
    campaigns.purpose,
    campaigns.started_at,
    {{ business_day('campaigns.started_at') }} as started_on,
    campaigns.ended_at,
    {{ business_day('campaigns.ended_at') }} as ended_on,
    campaigns.cost_amount,
    campaigns.is_experiment
from campaigns
full outer join named on campaigns.campaign_key = named.campaign_key
