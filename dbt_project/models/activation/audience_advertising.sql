{#- The seed of a look-alike audience: the fifth of customers that brought most. -#}
with settings as (

    select as_of from {{ source('control', 'run_settings') }}

),

rfm as (

    select * from {{ ref('customer_rfm') }}
    where monetary_score = 5

)

select
    rfm.customer_key,
    settings.as_of,
    'among the fifth that brought most' as reason
from rfm
inner join settings on rfm.as_of = settings.as_of
