with states as (

    select * from {{ ref('int_lifecycle__states') }}

),

days as (

    select * from {{ ref('int_customer_days') }}

),

-- Growth and maintenance can run over many orders. One history serves all as-of dates that see the
-- same orders at the same rhythm.
histories as (

    select distinct
        customer_key,
        order_count,
        rhythm_days
    from states
    where stage in ('growth', 'maintenance')

),

order_days as (

    select
        histories.customer_key,
        histories.order_count,
        histories.rhythm_days,
        days.ordered_on,
        {{ lifecycle_stage(
            'days.ordered_on', 'days.ordered_on', 'days.order_count', 'days.is_shortening',
            'days.second_order_on', 'histories.rhythm_days'
        ) }} as stage,
        case
            when days.previous_order_on is null then 'introduction'
            else {{ lifecycle_stage(
                add_days('days.ordered_on', -1), 'days.previous_order_on', 'days.previous_order_count',
                'days.was_shortening', 'days.second_order_on', 'histories.rhythm_days'
            ) | indent(12) }}
        end as stage_before
    from histories
    inner join days
        on
            histories.customer_key = days.customer_key
            and histories.order_count >= days.order_count

),

-- the last order day on which the stage changed
turns as (

    select
        customer_key,
        order_count,
        rhythm_days,
        max(ordered_on) as turned_on,
        max_by(stage_before, ordered_on) as stage_before
    from order_days
    where stage <> stage_before
    group by customer_key, order_count, rhythm_days

),

-- between two orders a stage ends in two ways: the second order grows old, or no order comes
breaks as (

    select
        states.*,
        turns.turned_on,
        turns.stage_before as stage_before_turn,
        {{ add_days('states.last_order_on', 'floor(3 * states.rhythm_days) + 1') }} as leaving_on,
        {{ add_days('states.second_order_on', 'ceil(2 * states.rhythm_days)') }} as young_until_on
    from states
    left join turns
        on
            states.customer_key = turns.customer_key
            and states.order_count = turns.order_count
            and states.rhythm_days = turns.rhythm_days

),

buyers as (

    select
        customer_key,
        as_of,
        first_order_on,
        stage,
        case
            when stage = 'leaving' then leaving_on
            when stage = 'confirmation' then last_order_on
            when stage = 'maintenance' and young_until_on > turned_on then young_until_on
            else turned_on
        end as stage_since_on,
        case
            when stage = 'leaving' then {{ lifecycle_stage(
                add_days('leaving_on', -1), 'last_order_on', 'order_count', 'is_shortening',
                'second_order_on', 'rhythm_days'
            ) | indent(12) }}
            when stage = 'confirmation' then 'introduction'
            when stage = 'maintenance' and young_until_on > turned_on then 'growth'
            else stage_before_turn
        end as previous_stage
    from breaks

),

customers as (

    select
        customer_key,
        first_order_on,
        {{ business_day('first_seen_at') }} as first_seen_on
    from {{ ref('dim_customers') }}

),

-- known without an order; whoever is known without a date is known now
prospects as (

    select
        customers.customer_key,
        as_of_dates.as_of,
        'introduction' as stage,
        least(customers.first_seen_on, as_of_dates.as_of) as stage_since_on,
        cast(null as {{ dbt.type_string() }}) as previous_stage
    from customers
    inner join {{ ref('int_as_of_dates') }} as as_of_dates
        on
            customers.first_seen_on <= as_of_dates.as_of
            or as_of_dates.is_current
    where customers.first_order_on is null or customers.first_order_on > as_of_dates.as_of

),

everybody as (

    select
        buyers.customer_key,
        buyers.as_of,
        buyers.stage,
        buyers.stage_since_on,
        -- whoever was first seen on the day of the first order was not known the day before
        case
            when buyers.previous_stage <> 'introduction' or customers.first_seen_on < buyers.first_order_on
                then buyers.previous_stage
        end as previous_stage
    from buyers
    inner join customers on buyers.customer_key = customers.customer_key

    union all

    select
        customer_key,
        as_of,
        stage,
        stage_since_on,
        previous_stage
    from prospects

),

stages as (

    select * from {{ ref('lifecycle_stages') }}

)

select
    everybody.customer_key,
    everybody.as_of,
    stages.stage_name as lifecycle_stage,
    previous_stages.stage_name as previous_stage,
    everybody.stage_since_on
from everybody
inner join stages on everybody.stage = stages.stage
left join stages as previous_stages on everybody.previous_stage = previous_stages.stage
