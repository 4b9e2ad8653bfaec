{{ touched_records('customer') }}
