{%- set columns = [
    'administrative_count', 'administrative_seconds', 'informational_count', 'informational_seconds',
    'product_related_count', 'product_related_seconds', 'bounce_rate', 'exit_rate', 'page_value', 'special_day',
    'month', 'operating_system', 'browser', 'region', 'traffic_type', 'visitor_type', 'is_weekend', 'has_revenue',
] -%}

with sessions as (

    select
        *,
        {{ row_digest(columns) }} as row_digest
    from {{ raw_rows('online_shoppers', 'sessions') }}

),

-- there is no number: identical rows are different visits
numbered as (

    select
        *,
        row_digest || '-' || cast(
            row_number() over (partition by row_digest order by _file, _line) as {{ dbt.type_string() }}
        ) as session_id
    from sessions

),

renamed as (

    select
        -- ids: each visit is by another person, whom nobody names
        {{ entity_key('online_shoppers', 'session_id') }} as session_key,
        'online_shoppers' as source,
        cast(null as {{ dbt.type_string() }}) as customer_key,

        -- where it came from; the file has the month's name without a year
        cast(null as timestamp) as started_at,
        'traffic type ' || cast(traffic_type as {{ dbt.type_string() }}) as channel,
        cast(null as {{ dbt.type_string() }}) as device,
        case visitor_type
            when 'Returning_Visitor' then 'returning' when 'New_Visitor' then 'new' when 'Other' then 'other'
        end as visitor_type,

        -- what was seen
        administrative_count + informational_count + product_related_count as page_count,
        product_related_count as product_page_count,
        cast(administrative_seconds + informational_seconds + product_related_seconds as decimal(18, 3))
            as duration_seconds,
        bounce_rate,
        exit_rate,

        -- what came of it: of carts nothing is known
        cast(null as boolean) as has_cart,
        cast(null as boolean) as has_checkout,
        has_revenue as has_order,
        cast(null as {{ dbt.type_string() }}) as order_key

    from numbered

)

select * from renamed
