{#- From so many decided ones on, the company's own history is trusted. -#}
{%- set enough = 30 -%}

with open_ones as (

    select
        *,
        coalesce({{ days_between('coalesce(entered_on, opened_on)', 'as_of') }}, 0) as waited_days
    from {{ ref('int_opportunities__as_of') }}
    where is_won is null

),

stages as (

    select * from {{ ref('sales_stage_conversion') }}

),

-- how many of those decided took how long from the stage on
durations as (

    select
        source,
        stage,
        days_to_close,
        sum(count(*)) over (partition by source, stage order by days_to_close) as decided_by_then,
        sum(count(*)) over (partition by source, stage) as decided_count
    from {{ ref('int_opportunities__passed') }}
    where days_to_close is not null
    group by source, stage, days_to_close

),

waits as (

    select distinct
        source,
        open_stage,
        waited_days
    from open_ones

),

gone as (

    select
        waits.source,
        waits.open_stage,
        waits.waited_days,
        coalesce(max(durations.decided_by_then), 0) as decided_by_then
    from waits
    left join durations
        on
            waits.source = durations.source
            and waits.open_stage = durations.stage
            and waits.waited_days >= durations.days_to_close
    group by waits.source, waits.open_stage, waits.waited_days

),

-- of those that took longer than this one has waited, half are decided by then
expected as (

    select
        gone.source,
        gone.open_stage,
        gone.waited_days,
        min(
            case
                when
                    durations.days_to_close > gone.waited_days
                    and 2 * durations.decided_by_then >= durations.decided_count + gone.decided_by_then
                    then durations.days_to_close
            end
        ) - gone.waited_days as remaining_days
    from gone
    inner join durations
        on
            gone.source = durations.source
            and gone.open_stage = durations.stage
    group by gone.source, gone.open_stage, gone.waited_days

),

rated as (

    select
        open_ones.*,
        coalesce(stages.decided_count, 0) >= {{ enough }} as is_rate_learned,
        coalesce(
            case when stages.decided_count >= {{ enough }} then stages.win_rate end,
            open_ones.default_rate, stages.win_rate, 0
        ) as win_rate,
        -- what has waited longer than any other did is due
        case when expected.waited_days is not null then coalesce(expected.remaining_days, 0) end as remaining_days
    from open_ones
    left join stages
        on
            open_ones.source = stages.source
            and open_ones.open_stage = stages.stage
    left join expected
        on
            open_ones.source = expected.source
            and open_ones.open_stage = expected.open_stage
            and open_ones.waited_days = expected.waited_days

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
        else {{ add_days('as_of', 'remaining_days') }}
    end as expected_close_on
from rated
