with sessions as (

    select * from {{ ref('int_sessions__funnelled') }}
    where started_on is not null

),

counted as (

    select
        started_on as date_on,
        count(*) as session_count,
        count(distinct customer_key) as known_customers,
        count(is_bounce) as measured_count,
        sum(case when is_bounce then 1 else 0 end) as bounce_count,
        sum(page_count) as pages,
        count(page_count) as paged_count,
        sum(duration_seconds) as seconds,
        count(duration_seconds) as timed_count,
        case when count(is_ordered) = count(*) then sum(case when is_ordered then 1 else 0 end) end as order_sessions
    from sessions
    group by started_on

)

select
    date_on,
    session_count,
    known_customers,
    {{ mean_of('bounce_count', 'measured_count') }} as bounce_rate,
    {{ mean_of('pages', 'paged_count') }} as mean_page_count,
    {{ mean_of('seconds', 'timed_count') }} as mean_duration_seconds,
    cast(order_sessions as bigint) as order_sessions,
    {{ mean_of('order_sessions', 'session_count') }} as conversion_rate
from counted
