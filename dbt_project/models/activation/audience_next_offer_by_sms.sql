with settings as (

    select as_of from {{ source('control', 'run_settings') }}

),

offers as (

    select * from {{ source('scores', 'offer_allocation') }}
    where channel = 'sms'

)

select
    offers.customer_key,
    settings.as_of,
    'best next offer: ' || offers.offer as reason,
    offers.offer,
    offers.expected_gain_amount
from offers
inner join settings on offers.as_of = settings.as_of
