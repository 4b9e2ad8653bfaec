{{ config(meta={'rebuilt_by': 'customer'}) }}

with source as (

    select * from {{ raw_rows('complete_journey', 'demographics') }}

),

-- The survey has bands of age and of income, and no date. A band is neither a year of birth nor an
-- amount, so both stay empty here rather than be invented.
renamed as (

    select
        -- ids
        {{ customer_key('complete_journey', 'household_id') }} as customer_key,
        'complete_journey' as source,

        -- when the chain first knew them
        cast(null as timestamp) as recorded_at,

        -- attributes
        cast(null as {{ dbt.type_string() }}) as country,
        cast(null as {{ dbt.type_string() }}) as region,
        cast(null as {{ dbt.type_string() }}) as city,
        cast(null as {{ dbt.type_string() }}) as acquisition_channel,
        cast(null as {{ dbt.type_string() }}) as gender,
        cast(null as integer) as birth_year,
        cast(null as decimal(18, 2)) as income_amount,
        cast(null as {{ dbt.type_string() }}) as education,
        cast(null as {{ dbt.type_string() }}) as occupation,
        cast(null as boolean) as is_marketing_allowed

    from source

)

select * from renamed
