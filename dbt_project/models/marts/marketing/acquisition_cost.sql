with settings as (

    select as_of from {{ source('control', 'run_settings') }}

),

-- one for which no purpose is stated may have won somebody; a planned one has cost nothing yet
campaigns as (

    select campaigns.*
    from {{ ref('dim_campaigns') }} as campaigns
    inner join settings on coalesce(campaigns.started_on, settings.as_of) <= settings.as_of
    where coalesce(campaigns.purpose, 'acquisition') = 'acquisition'

),

spent as (

    select
        coalesce(channel, 'unknown') as acquisition_channel,
        {{ month_of('started_on') }} as month,
        cost_amount
    from campaigns
    where cost_amount is not null and started_on is not null

    union all

    select
        coalesce(touches.channel, campaigns.channel, 'unknown') as acquisition_channel,
        {{ month_of('touches.touched_on') }} as month,
        touches.cost_amount
    from {{ ref('fct_campaign_touches') }} as touches
    inner join campaigns on touches.campaign_key = campaigns.campaign_key
    where campaigns.cost_amount is null and touches.cost_amount is not null and touches.touched_on is not null

),

costs as (

    select
        acquisition_channel,
        month,
        sum(cost_amount) as cost_amount
    from spent
    group by acquisition_channel, month

),

won as (

    select
        coalesce(customers.acquisition_channel, 'unknown') as acquisition_channel,
        {{ month_of('customers.first_order_on') }} as month,
        count(*) as new_customers,
        sum(customer_value.cumulative_amount) as value_amount
    from {{ ref('dim_customers') }} as customers
    left join {{ ref('customer_value') }} as customer_value on customers.customer_key = customer_value.customer_key
    where customers.first_order_on is not null
    group by coalesce(customers.acquisition_channel, 'unknown'), {{ month_of('customers.first_order_on') }}

),

joined as (

    select
        coalesce(costs.acquisition_channel, won.acquisition_channel) as acquisition_channel,
        coalesce(costs.month, won.month) as month,
        costs.cost_amount as acquisition_spend_amount,
        coalesce(won.new_customers, 0) as acquired_customers,
        coalesce(won.value_amount, 0) as acquired_value_amount
    from costs
    full outer join won on costs.acquisition_channel = won.acquisition_channel and costs.month = won.month

)

select
    acquisition_channel,
    month,
    cast(acquisition_spend_amount as decimal(18, 2)) as cost_amount,
    acquired_customers as new_customers,
    cast({{ metric('acquisition_cost_amount') }} as decimal(18, 2)) as cost_per_customer_amount,
    cast(acquired_value_amount as decimal(18, 2)) as value_amount,
    {{ metric('value_over_cost') }} as value_over_cost
from joined
