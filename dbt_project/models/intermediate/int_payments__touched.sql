{{ config(materialized='table') }}

{{ touched_facts('payment', 'fct_payments', ['customer']) }}
