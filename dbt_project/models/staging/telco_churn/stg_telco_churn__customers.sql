{{ config(meta={'rebuilt_by': 'customer'}) }}

with customers as (

    select * from {{ raw_rows('telco_churn', 'customers') }}

),

renamed as (

    select
        -- ids
        {{ customer_key('telco_churn', 'customer_id') }} as customer_key,
        'telco_churn' as source,

        -- the sample has no dates
        cast(null as timestamp) as recorded_at,

        -- attributes
        cast(null as {{ dbt.type_string() }}) as country,
        cast(null as {{ dbt.type_string() }}) as region,
        cast(null as {{ dbt.type_string() }}) as city,
        cast(null as {{ dbt.type_string() }}) as acquisition_channel,
        case gender when 'Female' then 'f' when 'Male' then 'm' end as gender,
        cast(null as integer) as birth_year,
        cast(null as decimal(18, 2)) as income_amount,
        cast(null as {{ dbt.type_string() }}) as education,
        cast(null as {{ dbt.type_string() }}) as occupation,
        cast(null as boolean) as is_marketing_allowed

    from customers

)

select * from renamed
