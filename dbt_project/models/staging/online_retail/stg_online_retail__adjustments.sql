{{ config(meta={'rebuilt_by': 'order'}) }}

with adjusted as (

    select
        *,
        {{ online_retail_line_kind() }} as line_kind
    from {{ raw_rows('online_retail', 'transactions') }}

),

numbered as (

    select
        *,
        row_number() over (partition by trim(invoice_no) order by _line, _file) as line_number
    from adjusted
    where line_kind in ('bad debt', 'cancellation', 'stock correction')

),

renamed as (

    select
        -- ids
        {{ entity_key('online_retail', 'invoice_no') }}
        || '-' || cast(line_number as {{ dbt.type_string() }}) as adjustment_key,
        {{ document_key('online_retail', 'invoice_no') }} as document_key,
        'online_retail' as source,

        -- facts
        invoiced_at as adjusted_at,
        line_kind as reason,
        cast(quantity as decimal(18, 3)) as quantity,
        cast(quantity * unit_price as decimal(18, 4)) as adjusted_amount

    from numbered

)

select * from renamed
