with settings as (

    select as_of from {{ source('control', 'run_settings') }}

),

windows as (

    select distinct
        cut_offs.cut_off_on,
        cut_offs.horizon_days,
        {{ add_days('cut_offs.cut_off_on', 'cut_offs.horizon_days') }} as window_ends_on,
        {{ add_days('cut_offs.cut_off_on', 'cut_offs.horizon_days') }} <= settings.as_of as is_observed
    from {{ ref('cut_offs') }} as cut_offs
    cross join settings

),

days as (

    select * from {{ ref('int_customer_days') }}

),

customers as (

    select
        windows.cut_off_on,
        windows.horizon_days,
        windows.is_observed,
        days.customer_key
    from days
    inner join windows on {{ spell_covers('days', 'windows.cut_off_on') }}

),

future as (

    select
        windows.cut_off_on,
        windows.horizon_days,
        days.customer_key,
        sum(days.day_order_count) as order_count,
        count(*) as purchase_day_count,
        sum(days.day_gross_amount) as gross_amount
    from days
    inner join windows
        on
            days.ordered_on > windows.cut_off_on
            and days.ordered_on <= windows.window_ends_on
    where windows.is_observed
    group by windows.cut_off_on, windows.horizon_days, days.customer_key

)

select
    customers.cut_off_on,
    customers.customer_key,
    customers.horizon_days,
    -- a window that is not over has no outcome yet
    case when customers.is_observed then future.customer_key is null end as is_churned,
    cast(
        case when customers.is_observed then coalesce(future.order_count, 0) end as integer
    ) as future_order_count,
    cast(
        case when customers.is_observed then coalesce(future.purchase_day_count, 0) end as integer
    ) as future_purchase_day_count,
    cast(
        case when customers.is_observed then coalesce(future.gross_amount, 0) end as decimal(18, 2)
    ) as future_gross_amount
from customers
left join future
    on
        customers.cut_off_on = future.cut_off_on
        and customers.horizon_days = future.horizon_days
        and customers.customer_key = future.customer_key
