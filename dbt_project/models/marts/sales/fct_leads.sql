{{ config(materialized='incremental', meta={'touched': {'lead_key': 'int_leads__touched'}}) }}

with leads as (

    select * from {{ ref('int_leads__unioned') }}
    where {{ is_touched('lead_key', 'int_leads__touched') }}

)

select
    lead_key,
    source,
    customer_key,
    owner_key,
    opportunity_key,
    channel,
    status,
    converted_at is not null or opportunity_key is not null as is_converted,
    created_at,
    {{ business_day('created_at') }} as created_on,
    converted_at,
    {{ business_day('converted_at') }} as converted_on,
    {{ days_between(business_day('created_at'), business_day('converted_at')) }} as conversion_days
from leads
