with settings as (

    select as_of from {{ source('control', 'run_settings') }}

),

customers as (

    select
        customers.*,
        settings.as_of,
        cast(extract(year from settings.as_of) as integer) - customers.birth_year as age_years
    from {{ ref('dim_customers') }} as customers
    cross join settings

),

measured as (

    select
        measured.customer_key,
        measured.order_count
    from {{ ref('int_customers__measures') }} as measured
    inner join settings on measured.as_of = settings.as_of

),

bands as (

    select
        measure,
        band,
        coalesce(from_value, -9999999999) as from_value,
        coalesce(lead(from_value) over (partition by measure order by from_value nulls first), 9999999999) as to_value
    from {{ ref('customer_bands') }}

)

select
    customers.customer_key,
    customers.as_of,
    customers.age_years,
    ages.band as age_band,
    customers.gender,
    customers.income_amount,
    incomes.band as income_band,
    customers.education,
    customers.occupation,
    customers.country,
    customers.region,
    customers.city,
    coalesce(measured.order_count, 0) as order_count_365d,
    activities.band as activity_band
from customers
left join measured on customers.customer_key = measured.customer_key
left join bands as ages
    on
        ages.measure = 'age_years'
        and customers.age_years >= ages.from_value
        and customers.age_years < ages.to_value
left join bands as incomes
    on
        incomes.measure = 'income_amount'
        and customers.income_amount >= incomes.from_value
        and customers.income_amount < incomes.to_value
left join bands as activities
    on
        activities.measure = 'order_count'
        and coalesce(measured.order_count, 0) >= activities.from_value
        and coalesce(measured.order_count, 0) < activities.to_value
