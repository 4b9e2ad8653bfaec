-- one written twice for a day, as USD and as usd: the higher counts
with rates as (

    select
        upper(trim(currency)) as currency,
        day as rated_on,
        max(rate) as rate
    from {{ source('exchange_rates', 'rates') }}
    group by upper(trim(currency)), day

)

select
    -- ids
    {{ entity_key('exchange_rates', "currency || '-' || cast(rated_on as " ~ dbt.type_string() ~ ")") }} as rate_key,
    'exchange_rates' as source,

    -- attributes
    currency,
    rated_on,
    rate
from rates
