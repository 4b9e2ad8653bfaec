{{ config(
    materialized='incremental',
    meta={'touched': {'opportunity_key': 'int_opportunities__touched'}},
) }}

with recorded as (

    select * from {{ ref('int_opportunities__unioned') }}
    where {{ is_touched('opportunity_key', 'int_opportunities__touched') }}

),

-- without a rate it is in int_without_rate
opportunities as (

    {{ in_company_currency(
        'recorded', 'opportunities', business_day('coalesce(recorded.closed_at, recorded.opened_at)')) }}

)

select
    opportunity_key,
    source,
    customer_key,
    lead_key,
    owner_key,
    product_key,
    stage,
    is_won is null as is_open,
    is_won,
    opened_at,
    {{ business_day('opened_at') }} as opened_on,
    closed_at,
    {{ business_day('closed_at') }} as closed_on,
    expected_close_on,
    {{ days_between(business_day('opened_at'), business_day('closed_at')) }} as cycle_days,
    opportunity_amount,
    cast(case when is_won then coalesce(opportunity_amount, 0) else 0 end as decimal(18, 2)) as won_amount,
    exchange_factor
from opportunities
