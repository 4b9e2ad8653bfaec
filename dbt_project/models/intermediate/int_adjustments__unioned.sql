{{ union_entity('adjustments') }}
