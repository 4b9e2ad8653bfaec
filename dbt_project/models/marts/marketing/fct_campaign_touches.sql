{{ config(materialized='incremental', meta={'touched': {'touch_key': 'int_campaign_touches__touched'}}) }}

with reached as (

    select * from {{ ref('int_campaign_touches__unioned') }}
    where {{ is_touched('touch_key', 'int_campaign_touches__touched') }}

),

-- without a rate it is in int_without_rate
touches as (

    {{ in_company_currency('reached', 'campaign_touches', business_day('reached.touched_at')) }}

)

select
    touch_key,
    source,
    campaign_key,
    customer_key,
    touched_at,
    {{ business_day('touched_at') }} as touched_on,
    channel,
    experiment_arm,
    coalesce(is_control, false) as is_control,
    is_opened,
    is_responded,
    is_converted,
    responded_at,
    {{ business_day('responded_at') }} as responded_on,
    response_amount,
    cost_amount,
    exchange_factor
from touches
