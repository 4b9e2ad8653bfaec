{{ config(meta={'rebuilt_by': 'subscription'}) }}

{%- set extras = [
    'online_security', 'online_backup', 'device_protection', 'tech_support', 'streaming_tv', 'streaming_movies',
] -%}
{#- how it is billed was agreed too, though it is no service that counts -#}
{%- set included = extras + ['internet_service', 'multiple_lines', 'paperless_billing', 'phone_service'] -%}

with customers as (

    select * from {{ raw_rows('telco_churn', 'customers') }}

),

renamed as (

    select
        -- ids: a customer has one contract
        {{ entity_key('telco_churn', 'customer_id') }} as subscription_key,
        'telco_churn' as source,
        {{ customer_key('telco_churn', 'customer_id') }} as customer_key,
        cast(null as {{ dbt.type_string() }}) as product_key,

        -- what was agreed
        case internet_service when 'No' then 'Phone' else internet_service end as plan,
        contract as contract_term,
        payment_method,

        -- the sample has no dates, only how long it has lasted
        cast(null as timestamp) as started_at,
        cast(null as timestamp) as ended_at,
        tenure as tenure_months,

        -- amounts
        monthly_charges as monthly_amount,
        -- who has not been charged yet has paid nothing
        coalesce(total_charges, case when tenure = 0 then 0 end) as charged_amount,

        -- services
        case when phone_service = 'Yes' then 1 else 0 end
        + case when multiple_lines = 'Yes' then 1 else 0 end
        + case when internet_service <> 'No' then 1 else 0 end
        {%- for extra in extras %}
        + case when {{ extra }} = 'Yes' then 1 else 0 end
        {%- endfor %} as service_count,
        -- each begins with the separator, of which the first is cut off
        substring(
            {%- for one in included | sort %}
            {%- set is_included = one ~ (" <> 'No'" if one == 'internet_service' else " = 'Yes'") %}
            case when {{ is_included }} then ', {{ one | replace('_', ' ') }}' else '' end
            {{- ' ||' if not loop.last }}
            {%- endfor %},
            3
        ) as services,
        churn as is_churned

    from customers

)

select * from renamed
