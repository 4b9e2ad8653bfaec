-- the files tell how many CDs were bought, not which: one product stands for all
select
    -- ids
    {{ product_key('cdnow', "'CD'") }} as product_key,
    'cdnow' as source,

    -- attributes
    'CD' as product_name,
    'Music' as category,
    cast(null as {{ dbt.type_string() }}) as subcategory,
    true as is_merchandise
