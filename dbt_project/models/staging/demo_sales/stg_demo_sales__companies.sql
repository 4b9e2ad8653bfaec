with accounts as (

    select * from {{ source('demo_sales', 'accounts') }}

),

corrections as (

    select
        written,
        meant
    from {{ ref('value_corrections') }}
    where source = 'demo_sales' and attribute = 'industry'

),

renamed as (

    select
        -- ids
        {{ customer_key('demo_sales', 'accounts.account_no') }} as customer_key,
        'demo_sales' as source,

        -- attributes
        coalesce(corrections.meant, accounts.industry) as industry,
        accounts.employee_count,
        -- the source counts thousands
        cast(1000 * accounts.revenue_thousands as decimal(18, 2)) as revenue_amount,
        accounts.founded_year,
        {{ customer_key('demo_sales', 'accounts.parent_account_no') }} as parent_customer_key

    from accounts
    left join corrections on accounts.industry = corrections.written

)

select * from renamed
