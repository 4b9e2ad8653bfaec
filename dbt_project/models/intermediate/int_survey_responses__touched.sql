{{ config(materialized='table') }}

{{ touched_facts('response', 'fct_survey_responses', ['customer', 'product']) }}
