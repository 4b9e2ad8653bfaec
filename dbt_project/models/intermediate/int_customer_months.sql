{{ config(materialized='incremental', meta={'touched': {'customer_key': 'int_customers__touched'}}) }}

with months as (

    select distinct
        customer_key,
        {{ month_of('ordered_on') }} as order_month
    from {{ ref('int_customer_days') }}
    where {{ is_touched('customer_key', 'int_customers__touched') }}

)

select
    customer_key,
    order_month,
    min(order_month) over (partition by customer_key) as cohort_month,
    lag(order_month) over (partition by customer_key order by order_month) as previous_order_month
from months
