with settings as (

    select as_of from {{ source('control', 'run_settings') }}

),

contacts as (

    select
        lower(trim(channel)) as channel,
        {{ business_clock('contacted_at') }} as contacted_at
    from {{ ref('int_contacts') }}
    where channel is not null and contacted_at is not null

),

counted as (

    select
        channel,
        cast(contacted_at as date) as date_on,
        cast(extract(hour from contacted_at) as integer) as hour_of_day,
        count(*) as contact_count
    from contacts
    group by channel, cast(contacted_at as date), cast(extract(hour from contacted_at) as integer)

)

select
    counted.channel,
    counted.date_on,
    counted.hour_of_day,
    counted.contact_count
from counted
inner join settings on counted.date_on <= settings.as_of
