with settings as (

    select as_of from {{ source('control', 'run_settings') }}

),

campaign_people as (

    select * from {{ ref('int_campaign_people') }}

),

drawn as (

    select
        campaign_key,
        -- as int_campaign_people has it: a touch that names nobody is a person of its own
        coalesce(customer_key, touch_key) as person_key,
        max(source) as source,
        max(customer_key) as customer_key,
        min(touched_on) as touched_on
    from {{ ref('fct_campaign_touches') }}
    where campaign_key is not null
    group by campaign_key, coalesce(customer_key, touch_key)

),

-- both groups, and no source that says the lot did not decide
experiments as (

    select people.campaign_key
    from campaign_people as people
    inner join {{ ref('dim_campaigns') }} as campaigns on people.campaign_key = campaigns.campaign_key
    where coalesce(campaigns.is_experiment, true)
    group by people.campaign_key
    having count(distinct people.is_control) = 2

),

people as (

    select
        campaign_people.campaign_key,
        campaign_people.person_key,
        drawn.source,
        drawn.customer_key,
        campaign_people.arm,
        campaign_people.is_control,
        drawn.touched_on,
        campaign_people.responses,
        campaign_people.conversions,
        campaign_people.response_amount,
        -- what happened on the day itself may have come after
        {{ add_days('drawn.touched_on', -1) }} as known_on
    from campaign_people
    inner join experiments on campaign_people.campaign_key = experiments.campaign_key
    inner join drawn
        on
            campaign_people.campaign_key = drawn.campaign_key
            and campaign_people.person_key = drawn.person_key

    union all

    select
        'today' as campaign_key,
        days.customer_key as person_key,
        cast(null as {{ dbt.type_string() }}) as source,
        days.customer_key,
        cast(null as {{ dbt.type_string() }}) as arm,
        cast(null as boolean) as is_control,
        cast(null as date) as touched_on,
        cast(null as integer) as responses,
        cast(null as integer) as conversions,
        cast(null as decimal(18, 2)) as response_amount,
        settings.as_of as known_on
    from {{ ref('int_customer_days') }} as days
    inner join settings on {{ spell_covers('days', 'settings.as_of') }}

),

recent as (

    select
        people.campaign_key,
        people.person_key,
        sum(days.day_order_count) as order_count,
        sum(days.day_gross_amount) as gross_amount
    from people
    inner join {{ ref('int_customer_days') }} as days
        on
            people.customer_key = days.customer_key
            and people.known_on >= days.ordered_on
            and {{ add_days('people.known_on', -365) }} < days.ordered_on
    group by people.campaign_key, people.person_key

)

select
    -- ids
    people.campaign_key,
    people.person_key,
    people.source,
    people.customer_key,

    -- what the lot decided, and what they did
    people.arm,
    people.is_control,
    people.touched_on,
    cast(people.responses as integer) as responses,
    cast(people.conversions as integer) as conversions,
    people.response_amount,

    -- what was known before
    {{ days_between('days.ordered_on', 'people.known_on') }} as recency_days,
    {{ days_between('days.first_order_on', 'people.known_on') }} as age_days,
    days.order_count,
    cast(days.gross_amount as decimal(18, 2)) as gross_amount,
    cast(days.gross_amount / days.order_count as decimal(18, 2)) as average_order_amount,
    case when days.customer_key is not null then coalesce(cast(recent.order_count as bigint), 0) end
        as order_count_365d,
    case when days.customer_key is not null then coalesce(cast(recent.gross_amount as decimal(18, 2)), 0) end
        as gross_amount_365d,
    history.birth_year,
    history.acquisition_channel,
    history.country
from people
left join {{ ref('int_customer_days') }} as days
    on people.customer_key = days.customer_key and {{ spell_covers('days', 'people.known_on') }}
left join recent
    on people.campaign_key = recent.campaign_key and people.person_key = recent.person_key
left join {{ ref('dim_customers_history') }} as history
    on
        people.customer_key = history.customer_key
        and people.known_on >= history.valid_from_on
        and (history.valid_to_on is null or people.known_on < history.valid_to_on)
