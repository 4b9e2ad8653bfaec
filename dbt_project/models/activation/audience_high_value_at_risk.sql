{#- The fifth of customers that brought most, where the model says they are likely to leave. -#}
with settings as (

    select as_of from {{ source('control', 'run_settings') }}

),

rfm as (

    select * from {{ ref('customer_rfm') }}
    where monetary_score = 5

),

churn as (

    select * from {{ source('scores', 'customer_churn') }}
    where status = 'scored' and risk_band = 'high'

),

clv as (

    select * from {{ source('scores', 'customer_clv') }}

)

select
    rfm.customer_key,
    settings.as_of,
    'high risk: ' || coalesce(churn.reason_1, 'see the model') as reason,
    churn.churn_probability,
    clv.clv_amount
from rfm
inner join settings on rfm.as_of = settings.as_of
inner join churn
    on
        rfm.customer_key = churn.customer_key
        and rfm.as_of = churn.as_of
left join clv
    on
        rfm.customer_key = clv.customer_key
        and rfm.as_of = clv.as_of
