{{ touched_records('product') }}
