{{ config(materialized='table') }}

{{ touched_facts('consent', 'fct_consents', ['customer']) }}
