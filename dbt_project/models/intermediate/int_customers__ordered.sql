{{ config(materialized='incremental', meta={'touched': {'customer_key': 'int_customers__touched'}}) }}

with lines as (

    {{ sightings_in_lines('customer_key', 'int_customers__touched') }}

)

select
    customer_key,
    min(source) as source,
    min(first_ordered_at) as first_ordered_at
from lines
where customer_key is not null
group by customer_key
