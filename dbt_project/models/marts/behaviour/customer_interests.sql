with products as (

    select
        product_key,
        category
    from {{ ref('dim_products') }}
    where is_merchandise and category is not null

),

bought as (

    select
        items.customer_key,
        products.category,
        cast(sum(items.line_amount) as decimal(18, 4)) as category_amount,
        min(items.ordered_on) as first_bought_on,
        max(items.ordered_on) as last_bought_on
    from {{ ref('fct_order_items') }} as items
    inner join products on items.product_key = products.product_key
    where items.customer_key is not null
    group by items.customer_key, products.category
    having sum(items.line_amount) > 0

),

totals as (

    select
        *,
        sum(category_amount) over (partition by customer_key) as customer_amount,
        sum(category_amount) over (partition by category) as company_category_amount,
        sum(category_amount) over () as company_amount
    from bought

),

-- what an average customer spends counts as spent like the company's: few purchases prove little
company as (

    select cast(sum(category_amount) as double) / count(distinct customer_key) as mean_customer_amount
    from bought

),

shares as (

    select
        totals.customer_key,
        totals.category,
        totals.category_amount,
        totals.first_bought_on,
        totals.last_bought_on,
        cast(totals.category_amount as double) / cast(totals.customer_amount as double) as customer_share,
        cast(totals.company_category_amount as double) / cast(totals.company_amount as double) as company_share,
        cast(totals.customer_amount as double) as customer_amount,
        company.mean_customer_amount
    from totals
    cross join company

),

compared as (

    select
        *,
        (customer_share * customer_amount + company_share * mean_customer_amount)
        / (customer_amount + mean_customer_amount) / company_share as affinity_ratio
    from shares

)

select
    customer_key,
    category,
    cast(category_amount as decimal(18, 2)) as category_amount,
    customer_share,
    company_share,
    affinity_ratio,
    cast(
        row_number() over (partition by customer_key order by affinity_ratio desc, category_amount desc, category asc)
        as integer
    ) as interest_rank,
    affinity_ratio >= {{ var('interest_affinity_ratio') }} as is_interest,
    first_bought_on,
    last_bought_on
from compared
