"""The doors to the outside: the warehouse file, dbt, MLflow."""
