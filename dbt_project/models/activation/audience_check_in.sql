{#- From three orders on a customer has a rhythm: one order is overdue, and not yet two. -#}
with settings as (

    select as_of from {{ source('control', 'run_settings') }}

),

rfm as (

    select * from {{ ref('customer_rfm') }}

),

rhythms as (

    select * from {{ ref('int_customer_rhythms') }}
    where order_count >= 3

),

lifecycle as (

    select lifecycle.*
    from {{ ref('customer_lifecycle') }} as lifecycle
    inner join {{ ref('lifecycle_stages') }} as stages on lifecycle.lifecycle_stage = stages.stage_name
    where stages.stage in ('growth', 'maintenance')

)

select
    rfm.customer_key,
    settings.as_of,
    'no order for ' || cast(rfm.recency_days as {{ dbt.type_string() }}) || ' days, usually one every '
    || cast(cast(round(rhythms.median_gap_days) as integer) as {{ dbt.type_string() }}) as reason,
    rfm.recency_days
from rfm
inner join settings on rfm.as_of = settings.as_of
inner join rhythms
    on
        rfm.customer_key = rhythms.customer_key
        and rfm.order_count = rhythms.order_count
inner join lifecycle
    on
        rfm.customer_key = lifecycle.customer_key
        and rfm.as_of = lifecycle.as_of
where rfm.recency_days > rhythms.median_gap_days and rfm.recency_days <= 2 * rhythms.median_gap_days
