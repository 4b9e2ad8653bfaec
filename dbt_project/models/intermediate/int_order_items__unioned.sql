{{ union_entity('order_items') }}
