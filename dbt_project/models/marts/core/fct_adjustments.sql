{{ config(materialized='incremental', meta={'touched': {'document_key': 'int_orders__touched'}}) }}

with booked as (

    select * from {{ ref('int_adjustments__unioned') }}
    where {{ is_touched('document_key', 'int_orders__touched') }}

),

-- without a rate it is in int_without_rate
adjustments as (

    {{ in_company_currency('booked', 'adjustments', business_day('booked.adjusted_at')) }}

)

select
    adjustment_key,
    document_key,
    source,
    adjusted_at,
    -- a correction counts, whether or not somebody says why
    coalesce(reason, 'unknown') as reason,
    quantity,
    adjusted_amount,
    exchange_factor
from adjustments
