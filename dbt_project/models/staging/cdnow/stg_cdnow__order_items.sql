with master as (

    select
        customer_id,
        purchased_on,
        cd_count,
        purchase_amount,
        _file,
        _line
    from {{ source('cdnow', 'master') }}

),

sample as (

    select
        customer_id,
        purchased_on,
        cd_count,
        purchase_amount,
        _file,
        _line
    from {{ source('cdnow', 'sample') }}

),

known as (

    select distinct customer_id from master

),

-- the sample repeats purchases of the master: they count once when both files are there
purchases as (

    select * from master

    union all

    select sample.*
    from sample
    left join known on sample.customer_id = known.customer_id
    where known.customer_id is null

),

-- the files have no order number; identical rows are purchases of their own
numbered as (

    select
        *,
        customer_id
        || '-' || cast(purchased_on as {{ dbt.type_string() }})
        || '-' || cast(
            row_number() over (partition by customer_id, purchased_on order by _file, _line)
            as {{ dbt.type_string() }}
        ) as order_id
    from purchases

),

renamed as (

    select
        -- ids
        {{ entity_key('cdnow', 'order_id') }} as order_key,
        cast(1 as integer) as line_number,
        'cdnow' as source,
        {{ customer_key('cdnow', 'customer_id') }} as customer_key,
        {{ product_key('cdnow', "'CD'") }} as product_key,

        -- facts
        {{ start_of_business_day('purchased_on') }} as ordered_at,
        cast(cd_count as decimal(18, 3)) as quantity,
        cast(purchase_amount / nullif(cd_count, 0) as decimal(18, 4)) as unit_price,
        cast(null as decimal(18, 4)) as unit_cost,
        cast(purchase_amount as decimal(18, 4)) as line_amount

    from numbered

)

select * from renamed
