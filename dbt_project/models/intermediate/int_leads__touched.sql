{{ config(materialized='table') }}

{{ touched_facts('lead', 'fct_leads', ['customer']) }}
