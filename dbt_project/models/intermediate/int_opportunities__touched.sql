{{ config(materialized='table') }}

{{ touched_facts('opportunity', 'fct_opportunities', ['customer', 'product']) }}
