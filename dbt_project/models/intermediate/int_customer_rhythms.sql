{{ config(materialized='table') }}

with days as (

    select * from {{ ref('int_customer_days') }}

),

orders as (

    select * from {{ ref('int_orders__sequenced') }}
    where gap_days is not null

),

snapshot_dates as (

    select as_of as snapshot_on from {{ ref('int_as_of_dates') }}

    union

    select cut_off_on as snapshot_on from {{ ref('int_cut_offs') }}

),

-- between two orders nothing changes, so each state is summarised once, however many dates see it
states as (

    select distinct
        days.customer_key,
        days.order_count
    from days
    inner join snapshot_dates on {{ spell_covers('days', 'snapshot_dates.snapshot_on') }}
    where days.order_count > 1

),

summed as (

    select
        states.customer_key,
        states.order_count,
        median(orders.gap_days) as median_gap_days,
        count(*) as gap_count,
        cast(sum(orders.gap_days) as double) as gap_sum,
        cast(sum(cast(orders.gap_days as bigint) * orders.gap_days) as double) as gap_square_sum
    from states
    inner join orders
        on
            states.customer_key = orders.customer_key
            and states.order_count >= orders.order_number
    group by states.customer_key, states.order_count

)

-- sums of whole numbers are exact, so neither mean nor deviation depends on the order of rows
select
    customer_key,
    order_count,
    cast(median_gap_days as double) as median_gap_days,
    gap_sum / gap_count as mean_gap_days,
    case
        when gap_count > 1
            then sqrt(greatest(gap_square_sum - gap_sum * gap_sum / gap_count, 0.0) / (gap_count - 1))
    end as stddev_gap_days
from summed
