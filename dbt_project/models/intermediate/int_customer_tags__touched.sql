{{ config(materialized='table') }}

{{ touched_facts('tag', 'fct_customer_tags', ['customer']) }}
