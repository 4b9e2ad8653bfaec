{{ config(materialized='table') }}

with rates as (

    select * from {{ ref('int_exchange_rates__unioned') }}
    where rate > 0

),

-- sources may give rates for one day: the first source that knows it
daily as (

    select
        currency,
        rated_on,
        min_by(rate, source || ' ' || rate_key) as rate
    from rates
    group by currency, rated_on

)

select
    currency,
    rated_on,
    rate,
    coalesce(
        lead(rated_on) over (partition by currency order by rated_on), cast('9999-12-31' as date)
    ) as next_rated_on
from daily
