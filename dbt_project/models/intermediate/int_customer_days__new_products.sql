{{ config(materialized='incremental', meta={'touched': {'customer_key': 'int_customers__touched'}}) }}

-- a product counts from the day on which the customer first bought it
with first_bought as (

    select
        customer_key,
        product_key,
        min(ordered_on) as bought_on
    from {{ ref('fct_order_items') }}
    where customer_key is not null and {{ is_touched('customer_key', 'int_customers__touched') }}
    group by customer_key, product_key

)

select
    customer_key,
    bought_on,
    count(*) as product_count
from first_bought
group by customer_key, bought_on
