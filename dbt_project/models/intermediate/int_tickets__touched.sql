{{ config(materialized='table') }}

{{ touched_facts('ticket', 'int_tickets__timed', ['customer', 'product']) }}
