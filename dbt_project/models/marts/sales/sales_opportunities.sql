select
    opportunity_key,
    source,
    customer_key,
    owner_key,
    product_key,
    as_of,
    open_stage as stage,
    is_won is null as is_open,
    is_won,
    opened_on,
    closed_on,
    cycle_days,
    expected_close_on,
    opportunity_amount,
    won_amount
from {{ ref('int_opportunities__as_of') }}
