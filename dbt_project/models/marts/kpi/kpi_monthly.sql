with settings as (

    select
        as_of,
        horizon_days
    from {{ source('control', 'run_settings') }}

),

customer_days as (

    select * from {{ ref('int_customer_days') }}

),

ordered as (

    select
        {{ month_of('ordered_on') }} as month,
        {{ measure('order_count') }} as order_count,
        {{ measure('active_customers') }} as active_customers,
        {{ measure('new_customers') }} as new_customers
    from {{ ref('fct_orders') }}
    group by {{ month_of('ordered_on') }}

),

lines as (

    select
        {{ month_of('ordered_on') }} as month,
        {{ measure('gross_amount') }} as gross_amount
    from {{ ref('fct_order_items') }}
    group by {{ month_of('ordered_on') }}

),

returned as (

    select
        {{ month_of('returned_on') }} as month,
        {{ measure('returned_amount') }} as returned_amount
    from {{ ref('fct_returns') }}
    group by {{ month_of('returned_on') }}

),

retained as (

    select
        order_month as month,
        count(case when previous_order_month = {{ add_months('order_month', -1) }} then 1 end) as retained_customers
    from {{ ref('int_customer_months') }}
    group by order_month

),

-- tickets opened in the month are in service_monthly, answered and resolved ones count when that was
served as (

    select
        month,
        ticket_count,
        complaint_rate
    from {{ ref('service_monthly') }}

),

contacted as (

    select
        month,
        {{ measure('contact_count') }} as contact_count
    from {{ ref('service_contacts_monthly') }}
    group by month

),

answered as (

    select
        {{ month_of('first_response_on') }} as month,
        {{ measure('first_response_count') }} as first_response_count,
        {{ measure('business_first_response_count') }} as business_first_response_count,
        {{ measure('total_first_response_hours') }} as total_first_response_hours,
        {{ measure('total_first_response_business_hours') }} as total_first_response_business_hours
    from {{ ref('fct_tickets') }}
    where first_response_on is not null
    group by {{ month_of('first_response_on') }}

),

resolved as (

    select
        {{ month_of('resolved_on') }} as month,
        {{ measure('resolution_count') }} as resolution_count,
        {{ measure('business_resolution_count') }} as business_resolution_count,
        {{ measure('total_resolution_hours') }} as total_resolution_hours,
        {{ measure('total_resolution_business_hours') }} as total_resolution_business_hours,
        {{ measure('judged_resolution_count') }} as judged_resolution_count,
        {{ measure('sla_met_resolution_count') }} as sla_met_resolution_count,
        {{ measure('reopened_resolution_count') }} as reopened_resolution_count
    from {{ ref('fct_tickets') }}
    where resolved_on is not null
    group by {{ month_of('resolved_on') }}

),

surveyed as (

    select
        {{ month_of('responded_on') }} as month,
        {{ measure('csat_count') }} as csat_count,
        {{ measure('csat_total') }} as csat_total,
        {{ measure('csat_top_box_count') }} as csat_top_box_count,
        {{ measure('nps_count') }} as nps_count,
        {{ measure('promoter_count') }} as promoter_count,
        {{ measure('detractor_count') }} as detractor_count
    from {{ ref('fct_survey_responses') }}
    where responded_on is not null
    group by {{ month_of('responded_on') }}

),

visited as (

    select
        {{ month_of('started_on') }} as month,
        {{ measure('session_count') }} as session_count,
        {{ measure('measured_session_count') }} as measured_session_count,
        {{ measure('bounce_count') }} as bounce_count,
        {{ measure('page_total') }} as page_total,
        {{ measure('paged_session_count') }} as paged_session_count,
        {{ measure('order_known_sessions') }} as order_known_sessions,
        {{ measure('order_seen_sessions') }} as order_seen_sessions
    from {{ ref('web_sessions') }}
    where started_on is not null
    group by {{ month_of('started_on') }}

),

ended_in_orders as (

    select
        *,
        {{ metric('order_sessions') }} as order_sessions
    from visited

),

sold as (

    select * from {{ ref('sales_monthly') }}

),

led as (

    select
        {{ month_of('created_on') }} as month,
        {{ measure('lead_count') }} as lead_count
    from {{ ref('fct_leads') }}
    where created_on is not null
    group by {{ month_of('created_on') }}

),

converted as (

    select
        {{ month_of('converted_on') }} as month,
        {{ measure('lead_conversion_count') }} as lead_conversion_count
    from {{ ref('fct_leads') }}
    where converted_on is not null
    group by {{ month_of('converted_on') }}

),

touched as (

    select
        {{ month_of('touched_on') }} as month,
        {{ measure('touch_count') }} as touch_count
    from {{ ref('fct_campaign_touches') }}
    where touched_on is not null
    group by {{ month_of('touched_on') }}

),

responded as (

    select
        {{ month_of('coalesce(responded_on, touched_on)') }} as month,
        {{ measure('touch_response_count') }} as touch_response_count
    from {{ ref('fct_campaign_touches') }}
    where coalesce(responded_on, touched_on) is not null
    group by {{ month_of('coalesce(responded_on, touched_on)') }}

),

begun as (

    select
        {{ month_of('started_on') }} as month,
        {{ measure('campaign_cost_amount') }} as campaign_cost_amount
    from {{ ref('campaign_performance') }}
    where started_on is not null
    group by {{ month_of('started_on') }}

),

facts as (

    {% for area in [
        'ordered', 'returned', 'served', 'contacted', 'surveyed', 'visited', 'sold', 'led', 'converted', 'touched',
        'begun',
    ] %}
    select month from {{ area }}
    {{ 'union all' if not loop.last }}
    {% endfor %}

),

first_fact as (

    select min(month) as month from facts

),

-- the as-of date cuts the last month
months as (

    select distinct
        dates.month,
        {{ add_months('dates.month', -1) }} as month_before,
        {{ add_months('dates.month', 1) }} as month_after,
        {{ add_days(add_months('dates.month', 1), -1) }} <= settings.as_of as is_complete,
        least({{ add_days(add_months('dates.month', 1), -1) }}, settings.as_of) as ended_on
    from {{ ref('dim_dates') }} as dates
    inner join settings on dates.month <= settings.as_of
    inner join first_fact on dates.month >= first_fact.month

),

-- each customer with an order by the month's end, as the last order left them
at_month_end as (

    select
        months.month,
        months.month_after,
        months.ended_on,
        customer_days.customer_key,
        customer_days.ordered_on,
        customer_days.penultimate_order_on
    from customer_days
    inner join months on {{ spell_covers('customer_days', 'months.ended_on') }}

),

repurchased as (

    select
        month,
        count(*) as recent_customers,
        count(
            case when {{ days_between('penultimate_order_on', 'ended_on') }} < 365 then 1 end
        ) as repeat_customers
    from at_month_end
    where {{ days_between('ordered_on', 'ended_on') }} < 365
    group by month

),

-- not churned when the month starts: the last order is less than the horizon old the day before
alive as (

    select
        at_month_end.month_after as month,
        at_month_end.customer_key
    from at_month_end
    cross join settings
    where {{ days_between('at_month_end.ordered_on', 'at_month_end.ended_on') }} < settings.horizon_days

),

-- the day on which a last order becomes as old as the horizon, none having followed until then
churned as (

    select distinct
        {{ month_of(add_days('customer_days.ordered_on', 'settings.horizon_days')) }} as month,
        customer_days.customer_key
    from customer_days
    inner join settings
        on
            {{ days_between('customer_days.ordered_on', 'settings.as_of') }} >= settings.horizon_days
            and {{ days_between('customer_days.ordered_on', 'customer_days.next_order_on') }} > settings.horizon_days

),

churn as (

    select
        alive.month,
        count(*) as customers_at_start,
        count(churned.customer_key) as churned_customers
    from alive
    left join churned
        on
            alive.month = churned.month
            and alive.customer_key = churned.customer_key
    group by alive.month

),

counted as (

    select
        months.month,
        months.is_complete,
        coalesce(ordered.order_count, 0) as order_count,
        coalesce(ordered.active_customers, 0) as active_customers,
        coalesce(ordered.new_customers, 0) as new_customers,
        coalesce(lines.gross_amount, 0) as gross_amount,
        coalesce(returned.returned_amount, 0) as returned_amount,
        coalesce(retained.retained_customers, 0) as retained_customers,
        coalesce(before.active_customers, 0) as previous_active_customers,
        coalesce(repurchased.repeat_customers, 0) as repeat_customers,
        coalesce(repurchased.recent_customers, 0) as recent_customers,
        coalesce(churn.churned_customers, 0) as churned_customers,
        coalesce(churn.customers_at_start, 0) as customers_at_start,
        coalesce(served.ticket_count, 0) as ticket_count,
        served.complaint_rate,
        coalesce(contacted.contact_count, 0) as contact_count,
        answered.first_response_count,
        answered.business_first_response_count,
        answered.total_first_response_hours,
        answered.total_first_response_business_hours,
        coalesce(resolved.resolution_count, 0) as resolution_count,
        resolved.business_resolution_count,
        resolved.total_resolution_hours,
        resolved.total_resolution_business_hours,
        resolved.judged_resolution_count,
        resolved.sla_met_resolution_count,
        resolved.reopened_resolution_count,
        coalesce(surveyed.csat_count, 0) as csat_count,
        surveyed.csat_total,
        surveyed.csat_top_box_count,
        coalesce(surveyed.nps_count, 0) as nps_count,
        surveyed.promoter_count,
        surveyed.detractor_count,
        coalesce(visited.session_count, 0) as session_count,
        visited.measured_session_count,
        visited.bounce_count,
        visited.page_total,
        visited.paged_session_count,
        visited.order_sessions,
        coalesce(sold.opened_count, 0) as opened_opportunity_count,
        coalesce(sold.won_count, 0) as won_opportunity_count,
        coalesce(sold.lost_count, 0) as lost_opportunity_count,
        sold.win_rate,
        coalesce(sold.won_amount, 0) as won_amount,
        coalesce(sold.open_count, 0) as opportunities_at_end,
        coalesce(sold.open_pipeline_amount, 0) as pipeline_at_end_amount,
        coalesce(led.lead_count, 0) as lead_count,
        coalesce(converted.lead_conversion_count, 0) as lead_conversion_count,
        coalesce(touched.touch_count, 0) as touch_count,
        coalesce(responded.touch_response_count, 0) as touch_response_count,
        begun.campaign_cost_amount
    from months
    left join ordered on months.month = ordered.month
    left join returned on months.month = returned.month
    left join lines on months.month = lines.month
    left join retained on months.month = retained.month
    left join ordered as before on months.month_before = before.month
    left join repurchased on months.month = repurchased.month
    left join churn on months.month = churn.month
    left join served on months.month = served.month
    left join contacted on months.month = contacted.month
    left join answered on months.month = answered.month
    left join resolved on months.month = resolved.month
    left join surveyed on months.month = surveyed.month
    left join ended_in_orders as visited on months.month = visited.month
    left join sold on months.month = sold.month
    left join led on months.month = led.month
    left join converted on months.month = converted.month
    left join touched on months.month = touched.month
    left join responded on months.month = responded.month
    left join begun on months.month = begun.month

)

select
    month,
    is_complete,
    order_count,
    active_customers,
    new_customers,
    {{ metric('returning_customers') }} as returning_customers,
    cast(gross_amount as decimal(18, 2)) as gross_amount,
    cast(returned_amount as decimal(18, 2)) as returned_amount,
    cast({{ metric('net_amount') }} as decimal(18, 2)) as net_amount,
    cast({{ metric('average_order_amount') }} as decimal(18, 2)) as average_order_amount,
    repeat_customers,
    recent_customers,
    cast({{ metric('repurchase_rate') }} as double) as repurchase_rate,
    churned_customers,
    customers_at_start,
    cast({{ metric('churn_rate') }} as double) as churn_rate,
    retained_customers,
    previous_active_customers,
    cast({{ metric('retention_rate') }} as double) as retention_rate,
    ticket_count,
    complaint_rate,
    cast({{ metric('average_first_response_hours') }} as decimal(18, 4)) as average_first_response_hours,
    cast({{ metric('average_first_response_business_hours') }} as decimal(18, 4))
        as average_first_response_business_hours,
    resolution_count,
    cast({{ metric('average_resolution_hours') }} as decimal(18, 4)) as average_resolution_hours,
    cast({{ metric('average_resolution_business_hours') }} as decimal(18, 4)) as average_resolution_business_hours,
    {{ metric('resolution_sla_met_rate') }} as resolution_sla_met_rate,
    {{ metric('resolution_reopened_rate') }} as resolution_reopened_rate,
    cast(contact_count as bigint) as contact_count,
    csat_count,
    {{ metric('csat_mean') }} as csat_mean,
    {{ metric('csat_top_box_rate') }} as csat_top_box_rate,
    nps_count,
    cast({{ metric('nps') }} as double) as nps,
    session_count,
    {{ metric('bounce_rate') }} as bounce_rate,
    {{ metric('pages_per_session') }} as pages_per_session,
    {{ metric('session_conversion_rate') }} as session_conversion_rate,
    opened_opportunity_count,
    won_opportunity_count,
    lost_opportunity_count,
    win_rate,
    cast(won_amount as decimal(18, 2)) as won_amount,
    opportunities_at_end,
    cast(pipeline_at_end_amount as decimal(18, 2)) as pipeline_at_end_amount,
    lead_count,
    lead_conversion_count,
    touch_count,
    touch_response_count,
    cast(campaign_cost_amount as decimal(18, 2)) as campaign_cost_amount
from counted
