with records as (

    select * from {{ ref('int_owners__unioned') }}
    where owner_key is not null

),

-- one name written in two ways gives two records of one owner
described as (

    select
        *,
        row_number() over (
            partition by owner_key order by source asc, team asc, region asc, role asc
        ) as record_number
    from records

),

named as (

    select
        owner_key,
        source
    from {{ ref('fct_opportunities') }}
    where owner_key is not null

    union all

    select
        owner_key,
        source
    from {{ ref('fct_leads') }}
    where owner_key is not null

),

seen as (

    select
        owner_key,
        min(source) as source
    from named
    group by owner_key

)

select
    coalesce(described.owner_key, seen.owner_key) as owner_key,
    coalesce(described.source, seen.source) as source,
    described.owner_key is null as is_stub,
    described.team,
    described.region,
    described.role
from described
full outer join seen on described.owner_key = seen.owner_key
where coalesce(described.record_number, 1) = 1
