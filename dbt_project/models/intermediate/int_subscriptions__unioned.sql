{{ union_entity('subscriptions') }}
