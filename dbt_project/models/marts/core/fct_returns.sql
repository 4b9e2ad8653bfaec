{{ config(materialized='incremental', meta={'touched': {'document_key': 'int_orders__touched'}}) }}

with booked as (

    select
        *,
        {{ business_day('returned_at') }} as returned_on
    from {{ ref('int_returns__unioned') }}
    where {{ is_touched('document_key', 'int_orders__touched') }}

),

-- without a rate it is in int_without_rate
returned as (

    {{ in_company_currency('booked', 'returns', 'booked.returned_on', also=['returned_on']) }}

),

orders as (

    select
        order_key,
        customer_key
    from {{ ref('int_orders__sequenced') }}

)

select
    returned.return_key,
    returned.document_key,
    returned.source,
    returned.order_key,
    coalesce(returned.customer_key, orders.customer_key) as customer_key,
    returned.product_key,
    returned.returned_at,
    returned.returned_on,
    returned.quantity,
    returned.returned_amount,
    returned.exchange_factor
from returned
left join orders on returned.order_key = orders.order_key
