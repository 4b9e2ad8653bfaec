with adjustments as (

    select * from {{ ref('int_adjustments__unioned') }}

)

select
    adjustment_key,
    source,
    adjusted_at,
    reason,
    quantity,
    adjusted_amount
from adjustments
