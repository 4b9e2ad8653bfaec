{{ config(meta={'rebuilt_by': 'order'}) }}

with returned as (

    select * from {{ raw_rows('online_retail', 'transactions') }}
    where {{ online_retail_line_kind() }} = 'return'

),

numbered as (

    select
        *,
        row_number() over (partition by trim(invoice_no) order by _line, _file) as line_number
    from returned

),

renamed as (

    select
        -- ids
        {{ entity_key('online_retail', 'invoice_no') }}
        || '-' || cast(line_number as {{ dbt.type_string() }}) as return_key,
        {{ document_key('online_retail', 'invoice_no') }} as document_key,
        'online_retail' as source,
        -- a cancellation has a number of its own and does not name the invoice it cancels
        cast(null as {{ dbt.type_string() }}) as order_key,
        {{ customer_key('online_retail', online_retail_customer_id()) }} as customer_key,
        {{ product_key('online_retail', 'stock_code') }} as product_key,

        -- facts
        invoiced_at as returned_at,
        cast(-quantity as decimal(18, 3)) as quantity,
        cast(-(quantity * unit_price) as decimal(18, 4)) as returned_amount

    from numbered

)

select * from renamed
