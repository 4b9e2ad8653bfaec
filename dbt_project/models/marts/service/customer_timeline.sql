{{ config(materialized='incremental', meta={'touched': {'customer_key': 'int_customers__touched'}}) }}

{{ timeline_of_touched_customers() }}
