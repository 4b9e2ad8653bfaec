{{ config(materialized='table') }}

{{ touched_facts('interaction', 'fct_interactions', ['customer']) }}
