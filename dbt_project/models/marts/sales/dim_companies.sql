with recorded as (

    select * from {{ ref('int_companies__unioned') }}
    where customer_key is not null

),

companies as (

    {{ attributes_in_company_currency('recorded', 'companies') }}

),

-- sources may share a namespace: each attribute from the first source that knows it
described as (

    select
        customer_key,
        min(source) as source,
        min_by(industry, case when industry is not null then source end) as industry,
        min_by(employee_count, case when employee_count is not null then source end) as employee_count,
        min_by(revenue_amount, case when revenue_amount is not null then source end) as revenue_amount,
        min_by(founded_year, case when founded_year is not null then source end) as founded_year,
        min_by(parent_customer_key, case when parent_customer_key is not null then source end) as parent_customer_key
    from companies
    group by customer_key

),

bands as (

    select
        size_band,
        minimum_employees,
        lead(minimum_employees) over (order by minimum_employees) as next_minimum
    from {{ ref('company_size_bands') }}

)

select
    described.customer_key,
    described.source,
    described.industry,
    described.employee_count,
    bands.size_band,
    described.revenue_amount,
    described.founded_year,
    -- a parent that is no company here, or was erased, is not named
    parents.customer_key as parent_customer_key
from described
left join described as parents on described.parent_customer_key = parents.customer_key
left join bands
    on
        described.employee_count >= bands.minimum_employees
        and (described.employee_count < bands.next_minimum or bands.next_minimum is null)
