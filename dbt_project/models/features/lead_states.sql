with settings as (

    select
        as_of,
        horizon_days
    from {{ source('control', 'run_settings') }}

),

-- what was converted on an unknown day was open nobody knows how long
leads as (

    select
        leads.*,
        settings.as_of,
        {{ add_days('leads.created_on', 'settings.horizon_days') }} as lapses_on
    from {{ ref('fct_leads') }} as leads
    inner join settings on leads.created_on <= settings.as_of
    where leads.converted_on is not null or not leads.is_converted

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
        industry,
        employee_count
    from {{ ref('dim_companies') }}

),

given_up as (

    select status from {{ ref('lead_statuses') }}
    where is_given_up

),

-- a lead may be of somebody who has bought before
orders as (

    select
        leads.lead_key,
        count(*) as prior_order_count
    from leads
    inner join {{ ref('fct_orders') }} as orders
        on leads.customer_key = orders.customer_key and leads.created_on > orders.ordered_on
    group by leads.lead_key

),

contacts as (

    select
        customer_key,
        occurred_on as touched_on
    from {{ ref('fct_interactions') }}

    union all

    select
        customer_key,
        touched_on
    from {{ ref('fct_campaign_touches') }}

),

touch_days as (

    select
        leads.lead_key,
        contacts.touched_on,
        count(*) as touch_count
    from leads
    inner join contacts
        on
            leads.customer_key = contacts.customer_key
            and leads.created_on < contacts.touched_on
            and leads.lapses_on >= contacts.touched_on
            and leads.as_of >= contacts.touched_on
    group by leads.lead_key, contacts.touched_on

),

states as (

    select
        lead_key,
        1 as state_number,
        created_on as entered_on,
        0 as touch_count
    from leads

    union all

    select
        lead_key,
        1 + row_number() over (partition by lead_key order by touched_on) as state_number,
        touched_on as entered_on,
        sum(touch_count) over (
            partition by lead_key order by touched_on rows between unbounded preceding and current row
        ) as touch_count
    from touch_days

)

select
    leads.lead_key,
    cast(states.state_number as integer) as state_number,
    leads.source,
    leads.customer_key,
    leads.owner_key,
    leads.channel,
    owners.team,
    owners.region,
    companies.industry,
    companies.employee_count,
    coalesce(orders.prior_order_count, 0) as prior_order_count,
    leads.created_on,
    case when leads.converted_on <= leads.as_of then leads.converted_on end as converted_on,
    given_up.status is not null as is_given_up,
    states.entered_on,
    cast(states.touch_count as integer) as touch_count
from leads
inner join states on leads.lead_key = states.lead_key
left join owners on leads.owner_key = owners.owner_key
left join companies on leads.customer_key = companies.customer_key
left join orders on leads.lead_key = orders.lead_key
left join given_up on lower(trim(leads.status)) = given_up.status
