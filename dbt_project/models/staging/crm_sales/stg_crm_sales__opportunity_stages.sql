{{ config(meta={'rebuilt_by': 'opportunity'}) }}

with sales_pipeline as (

    select * from {{ raw_rows('crm_sales', 'sales_pipeline') }}

),

-- of the stages gone through the source keeps two days; since when somebody is prospected, none
entered as (

    select
        opportunity_id,
        'Prospecting' as stage,
        cast(null as date) as entered_on
    from sales_pipeline
    where engage_date is null and deal_stage = 'Prospecting'

    union all

    select
        opportunity_id,
        'Engaging' as stage,
        engage_date as entered_on
    from sales_pipeline
    where engage_date is not null or deal_stage = 'Engaging'

    union all

    select
        opportunity_id,
        deal_stage as stage,
        close_date as entered_on
    from sales_pipeline
    where deal_stage in ('Won', 'Lost')

),

renamed as (

    select
        -- ids
        {{ entity_key('crm_sales', 'opportunity_id') }} || ' ' || stage as opportunity_stage_key,
        'crm_sales' as source,
        {{ entity_key('crm_sales', 'opportunity_id') }} as opportunity_key,

        -- when
        {{ start_of_business_day('entered_on') }} as entered_at,
        stage

    from entered

)

select * from renamed
