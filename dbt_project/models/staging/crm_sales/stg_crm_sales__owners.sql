with sales_teams as (

    select * from {{ source('crm_sales', 'sales_teams') }}

),

renamed as (

    select
        -- ids: people are known by their names, which go no further
        {{ pseudonymous_key('crm_sales', 'sales_agent') }} as owner_key,
        'crm_sales' as source,

        -- attributes: a team is known by whoever leads it
        {{ pseudonymous_key('crm_sales', 'manager') }} as team,
        regional_office as region,
        'sales agent' as role

    from sales_teams

)

select * from renamed
