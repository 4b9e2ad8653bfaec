{{ config(materialized='table') }}

with as_of_dates as (

    select as_of from {{ ref('int_as_of_dates') }}

),

days as (

    select * from {{ ref('int_customer_days') }}

),

-- totals to a day are kept with each order day, so a year is a difference of two
year_before as (

    select
        days.customer_key,
        as_of_dates.as_of,
        days.order_count,
        days.gross_amount
    from days
    inner join as_of_dates on {{ spell_covers('days', add_days('as_of_dates.as_of', -365)) }}

),

returned as (

    select
        returned.customer_key,
        as_of_dates.as_of,
        cast(sum(returned.returned_amount) as decimal(18, 4)) as returned_amount
    from {{ ref('fct_returns') }} as returned
    inner join as_of_dates
        on
            returned.returned_on <= as_of_dates.as_of
            and returned.returned_on > {{ add_days('as_of_dates.as_of', -365) }}
    where returned.customer_key is not null
    group by returned.customer_key, as_of_dates.as_of

),

pages as (

    select
        sessions.customer_key,
        as_of_dates.as_of,
        cast(sum(sessions.page_count) as bigint) as page_count
    from {{ ref('fct_sessions') }} as sessions
    inner join as_of_dates
        on
            sessions.started_on <= as_of_dates.as_of
            and sessions.started_on > {{ add_days('as_of_dates.as_of', -365) }}
    where sessions.customer_key is not null and sessions.page_count is not null
    group by sessions.customer_key, as_of_dates.as_of

),

measured as (

    select
        days.customer_key,
        as_of_dates.as_of,
        {{ days_between('days.ordered_on', 'as_of_dates.as_of') }} as days_since_order,
        days.order_count - coalesce(year_before.order_count, 0) as order_count,
        days.gross_amount - coalesce(year_before.gross_amount, 0) as gross_amount,
        coalesce(returned.returned_amount, 0) as returned_amount,
        pages.page_count
    from days
    inner join as_of_dates on {{ spell_covers('days', 'as_of_dates.as_of') }}
    left join year_before
        on
            days.customer_key = year_before.customer_key
            and as_of_dates.as_of = year_before.as_of
    left join returned
        on
            days.customer_key = returned.customer_key
            and as_of_dates.as_of = returned.as_of
    left join pages
        on
            days.customer_key = pages.customer_key
            and as_of_dates.as_of = pages.as_of

),

company as (

    select
        as_of,
        sum(gross_amount) as gross_amount,
        sum(order_count) as order_count,
        cast(sum(page_count) as double) / count(*) as mean_page_count
    from measured
    group by as_of

)

select
    measured.customer_key,
    measured.as_of,
    measured.days_since_order,
    measured.order_count,
    cast(measured.gross_amount as decimal(18, 4)) as gross_amount,
    cast((measured.gross_amount - measured.returned_amount) / 12 as decimal(18, 4)) as monthly_amount,
    cast(measured.gross_amount / nullif(measured.order_count, 0) as decimal(18, 4)) as average_order_amount,
    cast(
        (cast(measured.gross_amount as double) / nullif(measured.order_count, 0))
        / nullif(cast(company.gross_amount as double) / nullif(company.order_count, 0), 0)
        as decimal(18, 4)
    ) as average_order_ratio,
    -- where no customer's visits are known, neither is how few pages one saw
    case when company.mean_page_count is not null then coalesce(measured.page_count, 0) end as page_count,
    cast(coalesce(measured.page_count, 0) / nullif(company.mean_page_count, 0) as decimal(18, 4)) as page_ratio
from measured
inner join company on measured.as_of = company.as_of
