{#- From so many decided ones on, the company's own history is trusted. -#}
{%- set enough = 30 -%}

with open_ones as (

    select * from {{ ref('int_opportunities__as_of') }}
    where is_won is null

),

stages as (

    select * from {{ ref('sales_stage_conversion') }}

),

rated as (

    select
        open_ones.*,
        coalesce(stages.decided_count, 0) >= {{ enough }} as is_rate_learned,
        coalesce(
            case when stages.decided_count >= {{ enough }} then stages.win_rate end,
            open_ones.default_rate, stages.win_rate, 0
        ) as win_rate,
        ceil(stages.median_days_to_close) as median_days_to_close
    from open_ones
    left join stages
        on
            open_ones.source = stages.source
            and open_ones.open_stage = stages.stage

)

select
    opportunity_key,
    source,
    customer_key,
    owner_key,
    product_key,
    open_stage as stage,
    opened_on,
    {{ days_between('opened_on', 'as_of') }} as age_days,
    {{ days_between('entered_on', 'as_of') }} as days_in_stage,
    opportunity_amount,
    win_rate,
    is_rate_learned,
    cast(opportunity_amount * cast(win_rate as decimal(18, 6)) as decimal(18, 2)) as weighted_amount,
    case
        when expected_close_on > as_of then expected_close_on
        -- what has been in its stage for longer than usual is due now
        else greatest(
            {{ add_days('coalesce(entered_on, as_of)', 'median_days_to_close') }},
            case when median_days_to_close is not null then as_of end
        )
    end as expected_close_on
from rated
