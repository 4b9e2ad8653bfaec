"""dbt's cross-database macros as sqlfluff sees them: plausible SQL of the right shape."""

from __future__ import annotations


def type_string() -> str:
    """Return the text type."""
    return "varchar"


def dateadd(datepart: str, interval: object, start: str) -> str:
    """Return a date or instant some parts later."""
    return f"date_add({start}, {interval} * interval 1 {datepart})"


def datediff(start: str, end: str, datepart: str) -> str:
    """Return the parts from one date or instant to a later one."""
    return f"date_diff('{datepart}', {start}, {end})"


def date_trunc(datepart: str, value: str) -> str:
    """Return the beginning of a part."""
    return f"date_trunc('{datepart}', {value})"


def generate_series(upper_bound: int) -> str:
    """Return the numbers from 1 up."""
    return f"select generated_number from range({upper_bound}) as numbers (generated_number)"


def listagg(measure: str, delimiter: str, order_by: str) -> str:
    """Return values in one text."""
    return f"listagg({measure}, {delimiter} {order_by})"
