with settings as (

    select as_of from {{ source('control', 'run_settings') }}

),

weights as (

    select
        coalesce(max(case when component = 'order_count' then weight end), 0) as order_count_weight,
        coalesce(max(case when component = 'average_order_amount' then weight end), 0) as average_order_amount_weight,
        coalesce(max(case when component = 'rfm' then weight end), 0) as rfm_weight
    from {{ ref('customer_score_weights') }}

),

measured as (

    select
        ranked.customer_key,
        ranked.as_of,
        ranked.order_count,
        valued.average_order_amount,
        ranked.recency_score + ranked.frequency_score + ranked.monetary_score as rfm_score
    from {{ ref('customer_rfm') }} as ranked
    inner join settings on ranked.as_of = settings.as_of
    inner join {{ ref('customer_value') }} as valued on ranked.customer_key = valued.customer_key

),

-- components have different units, so each counts by its place among the customers: 0 worst, 100 best
placed as (

    select
        *,
        100 * percent_rank() over (order by order_count) as order_count_place,
        100 * percent_rank() over (order by average_order_amount) as average_order_amount_place,
        100 * percent_rank() over (order by rfm_score) as rfm_place
    from measured

),

scored as (

    select
        placed.*,
        (
            cast(weights.order_count_weight as double) * placed.order_count_place
            + cast(weights.average_order_amount_weight as double) * placed.average_order_amount_place
            + cast(weights.rfm_weight as double) * placed.rfm_place
        ) / nullif(
            cast(
                weights.order_count_weight + weights.average_order_amount_weight + weights.rfm_weight as double
            ), 0
        ) as customer_score
    from placed
    cross join weights

)

select
    customer_key,
    as_of,
    order_count,
    average_order_amount,
    rfm_score,
    order_count_place,
    average_order_amount_place,
    rfm_place,
    customer_score,
    rank() over (order by customer_score desc) as score_rank
from scored
