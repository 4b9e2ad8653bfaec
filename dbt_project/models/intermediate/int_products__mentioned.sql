{{ mentions('product') }}
