{{ config(materialized='table') }}

{{ touched_facts('session', 'fct_sessions', ['customer']) }}
