with settings as (

    select as_of from {{ source('control', 'run_settings') }}

)

select
    events.event,
    coalesce(events.changed_on, {{ add_days('settings.as_of', '-events.days_before_as_of') }}) as changed_on,
    events.window_days
from {{ ref('events_to_compare') }} as events
cross join settings
