{{ mentions('customer') }}
