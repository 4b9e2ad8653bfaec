{%- set columns = [
    'recency', 'history_segment', 'history', 'bought_mens', 'bought_womens', 'zip_code', 'is_newbie', 'channel',
    'segment', 'visit', 'conversion', 'spend',
] -%}

with recipients as (

    select
        *,
        {{ row_digest(columns) }} as row_digest
    from {{ raw_rows('email_experiment', 'recipients') }}

),

-- there is no customer number: identical rows are different people
numbered as (

    select
        *,
        row_digest || '-' || cast(
            row_number() over (partition by row_digest order by _file, _line) as {{ dbt.type_string() }}
        ) as touch_id
    from recipients

),

renamed as (

    select
        -- ids
        {{ entity_key('email_experiment', 'touch_id') }} as touch_key,
        'email_experiment' as source,
        'email_experiment:merchandise' as campaign_key,
        cast(null as {{ dbt.type_string() }}) as customer_key,

        -- what was sent, to whom by lot; undated
        cast(null as timestamp) as touched_at,
        case when segment <> 'No E-Mail' then 'email' end as channel,
        segment as experiment_arm,
        segment = 'No E-Mail' as is_control,

        -- what they did in the two weeks after
        cast(null as boolean) as is_opened,
        visit = 1 as is_responded,
        conversion = 1 as is_converted,
        cast(null as timestamp) as responded_at,
        cast(spend as decimal(18, 2)) as response_amount,
        cast(null as decimal(18, 4)) as cost_amount

    from numbered

)

select * from renamed
