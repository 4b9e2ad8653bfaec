with settings as (

    select as_of from {{ source('control', 'run_settings') }}

)

select
    lower(trim(interactions.channel)) as channel,
    interactions.occurred_on as date_on,
    count(*) as timed_count,
    cast(sum(interactions.duration_seconds) as bigint) as duration_seconds
from {{ ref('fct_interactions') }} as interactions
inner join settings on interactions.occurred_on <= settings.as_of
where interactions.channel is not null and interactions.duration_seconds > 0
group by lower(trim(interactions.channel)), interactions.occurred_on
