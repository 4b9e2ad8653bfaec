{{ config(materialized='table') }}

with months as (

    select distinct
        customer_key,
        {{ month_of('ordered_on') }} as order_month
    from {{ ref('int_customer_days') }}

)

select
    customer_key,
    order_month,
    min(order_month) over (partition by customer_key) as cohort_month,
    lag(order_month) over (partition by customer_key order by order_month) as previous_order_month
from months
