{#- What opportunities are compared by; `all` is the whole company. -#}
{%- set dimensions = {
    'all': "'all'",
    'owner': 'owner_key',
    'product': 'product_key',
    'region': 'region',
    'size_band': 'size_band',
    'source': 'source',
    'team': 'team',
} -%}

with opportunities as (

    select * from {{ ref('int_opportunities__as_of') }}

),

owners as (

    select
        owner_key,
        team,
        region
    from {{ ref('dim_owners') }}

),

companies as (

    select
        customer_key,
        size_band
    from {{ ref('dim_companies') }}

),

joined as (

    select
        opportunities.*,
        owners.team,
        owners.region,
        companies.size_band
    from opportunities
    left join owners on opportunities.owner_key = owners.owner_key
    left join companies on opportunities.customer_key = companies.customer_key

),

described as (

    {% for dimension, value in dimensions.items() %}
    select
        '{{ dimension }}' as dimension,
        coalesce({{ value }}, 'unknown') as dimension_value,
        opened_on,
        closed_on,
        is_won,
        won_amount,
        cycle_days
    from joined

    {{ 'union all' if not loop.last }}
    {% endfor %}

),

-- an opportunity is opened in one period and decided in another
counted as (

    select
        dimension,
        dimension_value,
        cast(null as date) as month,
        1 as opened,
        is_won,
        won_amount,
        cycle_days
    from described

    union all

    select
        dimension,
        dimension_value,
        {{ month_of('opened_on') }} as month,
        1 as opened,
        cast(null as boolean) as is_won,
        0 as won_amount,
        cast(null as integer) as cycle_days
    from described
    where opened_on is not null

    union all

    select
        dimension,
        dimension_value,
        {{ month_of('closed_on') }} as month,
        0 as opened,
        is_won,
        won_amount,
        cycle_days
    from described
    where closed_on is not null and is_won is not null

),

summed as (

    select
        dimension,
        dimension_value,
        month,
        sum(opened) as opened_count,
        {{ measure('decided_opportunity_count') }} as decided_opportunity_count,
        {{ measure('won_opportunity_count') }} as won_opportunity_count,
        {{ measure('won_amount') }} as won_amount,
        {{ measure('won_cycle_days') }} as won_cycle_days,
        {{ measure('won_cycle_count') }} as won_cycle_count,
        {{ measure('median_cycle_days') }} as median_cycle_days
    from counted
    group by dimension, dimension_value, month

),

averaged as (

    select
        *,
        {{ metric('win_rate') }} as win_rate,
        {{ metric('average_deal_amount') }} as average_deal_amount,
        {{ metric('mean_cycle_days') }} as mean_cycle_days
    from summed

)

select
    dimension,
    dimension_value,
    coalesce(substring(cast(month as {{ dbt.type_string() }}), 1, 7), 'all') as period,
    month,
    cast(opened_count as bigint) as opened_count,
    decided_opportunity_count as decided_count,
    won_opportunity_count as won_count,
    {{ metric('lost_opportunity_count') }} as lost_count,
    win_rate,
    {{ rate_end('-', 'won_opportunity_count', 'decided_opportunity_count') }} as win_low_rate,
    {{ rate_end('+', 'won_opportunity_count', 'decided_opportunity_count') }} as win_high_rate,
    cast(won_amount as decimal(18, 2)) as won_amount,
    cast(average_deal_amount as decimal(18, 2)) as average_deal_amount,
    mean_cycle_days,
    cast(median_cycle_days as double) as median_cycle_days,
    -- opportunities x win rate x average deal / cycle
    cast(
        decided_opportunity_count * win_rate * cast(average_deal_amount as double) / nullif(mean_cycle_days, 0)
        as decimal(18, 2)
    ) as sales_velocity_amount
from averaged
