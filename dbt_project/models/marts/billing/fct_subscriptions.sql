{{ config(materialized='incremental', meta={'touched': {'subscription_key': 'int_subscriptions__touched'}}) }}

with agreed as (

    select * from {{ ref('int_subscriptions__unioned') }}
    where {{ is_touched('subscription_key', 'int_subscriptions__touched') }}

),

-- without a rate it is in int_without_rate
subscriptions as (

    {{ in_company_currency('agreed', 'subscriptions', business_day('agreed.started_at')) }}

)

select
    subscription_key,
    source,
    customer_key,
    product_key,
    plan,
    contract_term,
    payment_method,
    started_at,
    {{ business_day('started_at') }} as started_on,
    ended_at,
    {{ business_day('ended_at') }} as ended_on,
    tenure_months,
    monthly_amount,
    charged_amount,
    service_count,
    services,
    is_churned,
    exchange_factor
from subscriptions
