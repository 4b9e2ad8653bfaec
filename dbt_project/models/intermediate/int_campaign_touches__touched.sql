{{ config(materialized='table') }}

{{ touched_facts('touch', 'fct_campaign_touches', ['customer']) }}
