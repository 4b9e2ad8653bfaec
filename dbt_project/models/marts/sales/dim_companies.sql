{%- set attributes = ['industry', 'employee_count', 'revenue_amount', 'founded_year', 'parent_customer_key'] -%}

with recorded as (

    select * from {{ ref('int_companies__unioned') }}
    where customer_key is not null

),

converted as (

    {{ attributes_in_company_currency('recorded', 'companies') }}

),

companies as (

    select
        *,
        {{ record_precedence() }} as precedence
    from converted

),

-- each attribute from the first record that knows it
described as (

    select
        customer_key,
        {% for attribute in attributes %}
        {{ first_known(attribute) }} as {{ attribute }},
        {% endfor %}
        min_by(source, precedence) as source
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
