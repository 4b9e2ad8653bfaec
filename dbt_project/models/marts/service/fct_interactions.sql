{{ config(materialized='incremental', meta={'touched': {'interaction_key': 'int_interactions__touched'}}) }}

with interactions as (

    select * from {{ ref('int_interactions__unioned') }}
    where {{ is_touched('interaction_key', 'int_interactions__touched') }}

)

select
    interaction_key,
    source,
    customer_key,
    ticket_key,
    occurred_at,
    {{ business_day('occurred_at') }} as occurred_on,
    channel,
    lower(trim(direction)) as direction,
    kind,
    duration_seconds
from interactions
