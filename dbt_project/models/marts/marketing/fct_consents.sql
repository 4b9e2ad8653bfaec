{{ config(materialized='incremental', meta={'touched': {'consent_key': 'int_consents__touched'}}) }}

with consents as (

    select * from {{ ref('int_consents__unioned') }}
    where {{ is_touched('consent_key', 'int_consents__touched') }}

)

select
    consent_key,
    source,
    customer_key,
    channel,
    purpose,
    changed_at,
    {{ business_day('changed_at') }} as changed_on,
    is_granted
from consents
