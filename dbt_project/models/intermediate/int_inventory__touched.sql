{{ config(materialized='table') }}

{{ touched_facts('inventory', 'fct_inventory', ['product']) }}
