{{ config(materialized='incremental', meta={'touched': {'payment_key': 'int_payments__touched'}}) }}

with recorded as (

    select * from {{ ref('int_payments__unioned') }}
    where {{ is_touched('payment_key', 'int_payments__touched') }}

),

-- without a rate it is in int_without_rate
payments as (

    {{ in_company_currency('recorded', 'payments', business_day('coalesce(recorded.due_at, recorded.paid_at)')) }}

)

select
    payment_key,
    source,
    order_key,
    customer_key,
    method,
    status,
    due_at,
    {{ business_day('due_at') }} as due_on,
    paid_at,
    {{ business_day('paid_at') }} as paid_on,
    payment_amount,
    paid_at is not null as is_paid,
    -- a payment that went through after all has not failed
    paid_at is null and coalesce(lower(trim(status)) in ('failed', 'declined', 'charged back'), false) as is_failed,
    {{ days_between(business_day('due_at'), business_day('paid_at')) }} as days_late,
    exchange_factor
from payments
