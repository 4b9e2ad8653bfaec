with accounts as (

    select * from {{ source('crm_sales', 'accounts') }}

),

corrections as (

    select
        written,
        meant
    from {{ ref('value_corrections') }}
    where source = 'crm_sales' and attribute = 'industry'

),

renamed as (

    select
        -- ids
        {{ customer_key('crm_sales', 'accounts.account') }} as customer_key,
        'crm_sales' as source,

        -- attributes
        coalesce(corrections.meant, accounts.sector) as industry,
        accounts.employees as employee_count,
        -- the source counts millions
        cast(1000000 * accounts.revenue as decimal(18, 2)) as revenue_amount,
        accounts.year_established as founded_year,
        {{ customer_key('crm_sales', 'accounts.subsidiary_of') }} as parent_customer_key

    from accounts
    left join corrections on accounts.sector = corrections.written

)

select * from renamed
