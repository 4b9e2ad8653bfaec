with sessions as (

    select * from {{ ref('web_sessions') }}
    where started_on is not null

),

counted as (

    select
        started_on as date_on,
        {{ measure('session_count') }} as session_count,
        {{ measure('visiting_customers') }} as known_customers,
        {{ measure('measured_session_count') }} as measured_session_count,
        {{ measure('bounce_count') }} as bounce_count,
        {{ measure('page_total') }} as page_total,
        {{ measure('paged_session_count') }} as paged_session_count,
        {{ measure('session_seconds') }} as session_seconds,
        {{ measure('timed_session_count') }} as timed_session_count,
        {{ measure('order_known_sessions') }} as order_known_sessions,
        {{ measure('order_seen_sessions') }} as order_seen_sessions
    from sessions
    group by started_on

),

stepped as (

    select
        *,
        {{ metric('order_sessions') }} as order_sessions
    from counted

)

select
    date_on,
    session_count,
    known_customers,
    {{ metric('bounce_rate') }} as bounce_rate,
    {{ metric('pages_per_session') }} as mean_page_count,
    {{ metric('seconds_per_session') }} as mean_duration_seconds,
    order_sessions,
    {{ metric('session_conversion_rate') }} as conversion_rate
from stepped
