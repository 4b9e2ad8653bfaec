{%- set measures = ['late_rate', 'failed_rate', 'overdue_rate', 'return_rate'] -%}

with settings as (

    select as_of from {{ source('control', 'run_settings') }}

),

-- what was due or paid by the as-of date; what was paid after it was not paid yet
payments as (

    select
        payments.customer_key,
        payments.payment_amount,
        payments.is_failed,
        coalesce(payments.paid_on <= settings.as_of, false) as is_paid,
        coalesce(payments.paid_on <= settings.as_of and payments.paid_on > payments.due_on, false) as is_late,
        coalesce(payments.paid_on > settings.as_of, true)
        and coalesce(payments.due_on < settings.as_of, false) as is_overdue,
        case when payments.paid_on <= settings.as_of then payments.days_late end as days_late
    from {{ ref('fct_payments') }} as payments
    inner join settings on payments.due_on <= settings.as_of or payments.paid_on <= settings.as_of
    where payments.customer_key is not null

),

paid as (

    select
        customer_key,
        count(*) as payment_count,
        count(case when is_paid then 1 end) as paid_count,
        count(case when is_late then 1 end) as late_count,
        count(case when is_failed then 1 end) as failed_count,
        count(case when is_overdue then 1 end) as overdue_count,
        sum(case when is_overdue then payment_amount else 0 end) as overdue_amount,
        sum(case when days_late > 0 then days_late end) as days_late
    from payments
    group by customer_key

),

ordered as (

    select
        orders.customer_key,
        sum(orders.gross_amount) as gross_amount
    from {{ ref('fct_orders') }} as orders
    inner join settings on orders.ordered_on <= settings.as_of
    where orders.customer_key is not null
    group by orders.customer_key

),

returned as (

    select
        returns.customer_key,
        sum(returns.returned_amount) as returned_amount
    from {{ ref('fct_returns') }} as returns
    inner join settings on returns.returned_on <= settings.as_of
    where returns.customer_key is not null
    group by returns.customer_key

),

rated as (

    select
        paid.*,
        {{ mean_of('paid.late_count', 'paid.paid_count') }} as late_rate,
        {{ mean_of('paid.failed_count', 'paid.payment_count') }} as failed_rate,
        {{ mean_of('paid.overdue_count', 'paid.payment_count') }} as overdue_rate,
        -- more may come back than the data knows to have been ordered
        case
            when ordered.gross_amount > 0
                then
                    greatest(least(
                        {{ mean_of('coalesce(returned.returned_amount, 0)', 'ordered.gross_amount') }}, 1
                    ), 0)
        end as return_rate,
        {{ mean_of('paid.days_late', 'paid.late_count') }} as mean_late_days
    from paid
    left join ordered on paid.customer_key = ordered.customer_key
    left join returned on paid.customer_key = returned.customer_key

),

bands as (

    select * from {{ ref('payment_risk_bands') }}

),

-- every minimum that is reached
reached as (

    {% for measure in measures %}
    select
        rated.customer_key,
        bands.risk_band,
        bands.risk_order
    from rated
    inner join bands on bands.measure = '{{ measure }}' and coalesce(rated.{{ measure }}, 0) >= bands.minimum_rate

    {{ 'union all' if not loop.last }}
    {% endfor %}

),

different as (

    select distinct
        customer_key,
        risk_band,
        risk_order
    from reached

),

banded as (

    select
        customer_key,
        max_by(risk_band, risk_order) as risk_band
    from different
    group by customer_key

)

select
    rated.customer_key,
    rated.payment_count,
    rated.paid_count,
    rated.late_count,
    rated.failed_count,
    rated.overdue_count,
    rated.late_rate,
    rated.failed_rate,
    rated.overdue_rate,
    rated.return_rate,
    rated.mean_late_days,
    cast(rated.overdue_amount as decimal(18, 2)) as overdue_amount,
    banded.risk_band
from rated
left join banded on rated.customer_key = banded.customer_key
