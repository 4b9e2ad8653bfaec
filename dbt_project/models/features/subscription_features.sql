with settings as (

    select as_of from {{ source('control', 'run_settings') }}

),

dates as (

    select distinct
        cut_off_on,
        horizon_days
    from {{ ref('cut_offs') }}
    where purpose like 'churn%' or purpose = 'scoring'

),

subscriptions as (

    select * from {{ ref('fct_subscriptions') }}

),

-- what may change in the life of a contract is known as it is now only, so it is no fact of the past
dated as (

    select
        dates.cut_off_on,
        subscriptions.subscription_key,
        dates.horizon_days,
        subscriptions.customer_key,
        subscriptions.source,
        coalesce(subscriptions.ended_on <= dates.cut_off_on, false) as is_ended,
        case
            when {{ add_days('dates.cut_off_on', 'dates.horizon_days') }} <= settings.as_of
                then coalesce(
                    subscriptions.ended_on <= {{ add_days('dates.cut_off_on', 'dates.horizon_days') }},
                    false
                )
        end as is_churned,
        subscriptions.plan,
        subscriptions.contract_term,
        cast(null as {{ dbt.type_string() }}) as payment_method,
        {{ days_between('subscriptions.started_on', 'dates.cut_off_on') }} as tenure_days,
        cast(null as integer) as tenure_months,
        cast(null as decimal(18, 2)) as monthly_amount,
        cast(null as decimal(18, 2)) as charged_amount,
        cast(null as integer) as service_count,
        cast(null as {{ dbt.type_string() }}) as services
    from subscriptions
    inner join dates on subscriptions.started_on <= dates.cut_off_on
    cross join settings
    where subscriptions.is_churned is null

),

-- a source that gives only a flag is its own label, for one day: today
flagged as (

    select
        settings.as_of as cut_off_on,
        subscriptions.subscription_key,
        cast(null as integer) as horizon_days,
        subscriptions.customer_key,
        subscriptions.source,
        subscriptions.is_churned as is_ended,
        subscriptions.is_churned,
        subscriptions.plan,
        subscriptions.contract_term,
        subscriptions.payment_method,
        cast(null as integer) as tenure_days,
        subscriptions.tenure_months,
        subscriptions.monthly_amount,
        subscriptions.charged_amount,
        subscriptions.service_count,
        subscriptions.services
    from subscriptions
    cross join settings
    where subscriptions.is_churned is not null

),

contracts as (

    select * from dated

    union all

    select * from flagged

),

orders as (

    select
        cut_off_on,
        customer_key,
        recency_days,
        order_count,
        order_count_90d
    from {{ ref('customer_features') }}

)

select
    contracts.cut_off_on,
    contracts.subscription_key,
    contracts.horizon_days,
    contracts.customer_key,
    contracts.source,
    contracts.is_ended,
    contracts.is_churned,
    contracts.plan,
    contracts.contract_term,
    contracts.payment_method,
    coalesce(
        contracts.tenure_months, cast(floor(contracts.tenure_days * 12 / 365.25) as integer)
    ) as tenure_months,
    mod(contracts.tenure_days, 365) as days_into_year,
    contracts.monthly_amount,
    contracts.charged_amount,
    contracts.service_count,
    contracts.services,
    orders.recency_days,
    orders.order_count,
    orders.order_count_90d
from contracts
left join orders
    on
        contracts.cut_off_on = orders.cut_off_on
        and contracts.customer_key = orders.customer_key
