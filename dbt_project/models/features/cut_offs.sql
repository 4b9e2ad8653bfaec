select
    cut_off_on,
    horizon_days,
    purpose
from {{ ref('int_cut_offs') }}
