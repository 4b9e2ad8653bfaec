with settings as (

    select as_of from {{ source('control', 'run_settings') }}

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

listed as (

    select * from {{ ref('opportunity_stages') }}

),

stages as (

    select
        stages.opportunity_key,
        stages.stage_number,
        stages.entered_on,
        coalesce(listed.stage_order, other.stage_order, 90) as stage_order
    from {{ ref('fct_opportunity_stages') }} as stages
    left join listed on lower(trim(stages.stage)) = listed.stage
    left join listed as other on other.stage = 'other'
    where not stages.is_closing

)

-- what an opportunity was worth is left out: some sources know it only once it is won
select
    opportunities.opportunity_key,
    coalesce(stages.stage_number, 1) as state_number,
    opportunities.source,
    opportunities.customer_key,
    opportunities.owner_key,
    opportunities.product_key,
    owners.team,
    owners.region,
    companies.industry,
    companies.employee_count,
    opportunities.opened_on,
    case when opportunities.closed_on <= settings.as_of then opportunities.closed_on end as closed_on,
    case when opportunities.closed_on <= settings.as_of then opportunities.is_won end as is_won,
    stages.entered_on,
    coalesce(stages.stage_order, 90) as stage_order
from {{ ref('fct_opportunities') }} as opportunities
inner join settings on opportunities.opened_on <= settings.as_of
left join stages
    on
        opportunities.opportunity_key = stages.opportunity_key
        and (stages.entered_on <= settings.as_of or stages.entered_on is null)
left join owners on opportunities.owner_key = owners.owner_key
left join companies on opportunities.customer_key = companies.customer_key
-- what was decided on an unknown day was open nobody knows how long
where opportunities.is_open or opportunities.closed_on is not null
