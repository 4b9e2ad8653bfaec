{{ config(meta={'rebuilt_by': 'customer'}) }}

with customers as (

    select * from {{ raw_rows('marketing_campaign', 'customers') }}

),

renamed as (

    select
        -- ids
        {{ customer_key('marketing_campaign', 'customer_id') }} as customer_key,
        'marketing_campaign' as source,
        {{ start_of_business_day('enrolled_on') }} as recorded_at,

        -- attributes
        cast(null as {{ dbt.type_string() }}) as country,
        cast(null as {{ dbt.type_string() }}) as region,
        cast(null as {{ dbt.type_string() }}) as city,
        cast(null as {{ dbt.type_string() }}) as acquisition_channel,
        cast(null as {{ dbt.type_string() }}) as gender,
        -- nobody enrols at more than 110 years of age; measured by the row alone, not by the as-of date
        case
            when birth_year between extract(year from enrolled_on) - 110 and extract(year from enrolled_on)
                then birth_year
        end as birth_year,
        -- as recorded, 666,666 included: no rule tells it from a true one
        income as income_amount,
        education,
        cast(null as {{ dbt.type_string() }}) as occupation,
        cast(null as boolean) as is_marketing_allowed

    from customers

)

select * from renamed
