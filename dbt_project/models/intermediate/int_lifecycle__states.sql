{{ config(materialized='table') }}

with as_of_dates as (

    select as_of from {{ ref('int_as_of_dates') }}

),

days as (

    select * from {{ ref('int_customer_days') }}

),

rhythms as (

    select * from {{ ref('int_customer_rhythms') }}

),

company_rhythms as (

    select
        as_of_dates.as_of,
        cast(median(orders.gap_days) as double) as rhythm_days
    from {{ ref('int_orders__sequenced') }} as orders
    inner join as_of_dates on orders.ordered_on <= as_of_dates.as_of
    where orders.gap_days is not null
    group by as_of_dates.as_of

),

-- the customer's own rhythm from three orders on, else the company's
paced as (

    select
        days.customer_key,
        as_of_dates.as_of,
        days.ordered_on as last_order_on,
        days.first_order_on,
        days.second_order_on,
        days.order_count,
        days.is_shortening,
        case
            when days.order_count >= 3 then rhythms.median_gap_days else company_rhythms.rhythm_days
        end as rhythm_days
    from days
    inner join as_of_dates on {{ spell_covers('days', 'as_of_dates.as_of') }}
    left join company_rhythms on as_of_dates.as_of = company_rhythms.as_of
    left join rhythms
        on
            days.customer_key = rhythms.customer_key
            and days.order_count = rhythms.order_count

)

select
    *,
    {{ lifecycle_stage(
        'as_of', 'last_order_on', 'order_count', 'is_shortening', 'second_order_on', 'rhythm_days'
    ) }} as stage
from paced
