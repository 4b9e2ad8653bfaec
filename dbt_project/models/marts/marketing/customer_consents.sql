select
    customer_key,
    channel,
    purpose,
    is_granted,
    since_at,
    {{ business_day('since_at') }} as since_on
from {{ ref('int_consents__current') }}
