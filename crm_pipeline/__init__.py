"""The Dagster project: wiring, reading and writing. Statistics live in ``ml``, transformations in dbt."""
