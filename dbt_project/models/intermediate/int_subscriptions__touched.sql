{{ config(materialized='table') }}

{{ touched_facts('subscription', 'fct_subscriptions', ['customer', 'product']) }}
