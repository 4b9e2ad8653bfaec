"""The Dagster project: wiring, reading and writing. Statistics live in ``ml``, SQL in dbt."""
