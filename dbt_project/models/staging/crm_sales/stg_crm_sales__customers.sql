{{ config(meta={'rebuilt_by': 'customer'}) }}

with accounts as (

    select * from {{ raw_rows('crm_sales', 'accounts') }}

),

corrections as (

    select
        written,
        meant
    from {{ ref('value_corrections') }}
    where source = 'crm_sales' and attribute = 'country'

),

renamed as (

    select
        -- ids: a company is known by its name
        {{ customer_key('crm_sales', 'accounts.account') }} as customer_key,
        'crm_sales' as source,

        -- the snapshot does not say since when
        cast(null as timestamp) as recorded_at,

        -- attributes
        coalesce(corrections.meant, accounts.office_location) as country,
        cast(null as {{ dbt.type_string() }}) as region,
        cast(null as {{ dbt.type_string() }}) as city,
        cast(null as {{ dbt.type_string() }}) as acquisition_channel,
        cast(null as {{ dbt.type_string() }}) as gender,
        cast(null as integer) as birth_year,
        cast(null as decimal(18, 2)) as income_amount,
        cast(null as {{ dbt.type_string() }}) as education,
        cast(null as {{ dbt.type_string() }}) as occupation,
        cast(null as boolean) as is_marketing_allowed

    from accounts
    left join corrections on accounts.office_location = corrections.written

)

select * from renamed
