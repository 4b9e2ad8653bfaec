{{ config(materialized='incremental', meta={'touched': {'product_key': 'int_products__touched'}}) }}

with lines as (

    {{ sightings_in_lines('product_key', 'int_products__touched') }}

)

select
    product_key,
    min(source) as source,
    min(first_ordered_at) as first_ordered_at
from lines
where product_key is not null
group by product_key
