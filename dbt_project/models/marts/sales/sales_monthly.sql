with settings as (

    select as_of from {{ source('control', 'run_settings') }}

),

opportunities as (

    select * from {{ ref('int_opportunities__as_of') }}

),

first_months as (

    select {{ month_of('least(min(opened_on), min(closed_on))') }} as month
    from opportunities

),

months as (

    select distinct
        dates.month,
        {{ add_days(add_months('dates.month', 1), -1) }} <= settings.as_of as is_complete,
        least({{ add_days(add_months('dates.month', 1), -1) }}, settings.as_of) as ended_on
    from {{ ref('dim_dates') }} as dates
    inner join settings on dates.month <= settings.as_of
    inner join first_months on dates.month >= first_months.month

),

opened as (

    select
        {{ month_of('opened_on') }} as month,
        {{ measure('opened_opportunity_count') }} as opened_count
    from opportunities
    where opened_on is not null
    group by {{ month_of('opened_on') }}

),

decided as (

    select
        {{ month_of('closed_on') }} as month,
        {{ measure('decided_opportunity_count') }} as decided_opportunity_count,
        {{ measure('won_opportunity_count') }} as won_opportunity_count,
        {{ measure('won_amount') }} as won_amount
    from opportunities
    where is_won is not null and closed_on is not null
    group by {{ month_of('closed_on') }}

),

-- open at the month's end; since when those without an opening day were open is not known, so they
-- count on the as-of date only
waiting as (

    select
        months.month,
        count(*) as open_count,
        sum(opportunities.opportunity_amount) as open_pipeline_amount
    from months
    inner join settings on months.ended_on <= settings.as_of
    inner join opportunities
        on
            months.ended_on >= coalesce(opportunities.opened_on, settings.as_of)
            and (months.ended_on < opportunities.closed_on or opportunities.is_won is null)
    group by months.month

)

select
    months.month,
    months.is_complete,
    coalesce(opened.opened_count, 0) as opened_count,
    coalesce(decided.won_opportunity_count, 0) as won_count,
    coalesce({{ metric('lost_opportunity_count') }}, 0) as lost_count,
    {{ metric('win_rate') }} as win_rate,
    cast(coalesce(decided.won_amount, 0) as decimal(18, 2)) as won_amount,
    coalesce(waiting.open_count, 0) as open_count,
    cast(coalesce(waiting.open_pipeline_amount, 0) as decimal(18, 2)) as open_pipeline_amount
from months
left join opened on months.month = opened.month
left join decided on months.month = decided.month
left join waiting on months.month = waiting.month
