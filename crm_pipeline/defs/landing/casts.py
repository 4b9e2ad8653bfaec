"""SQL for turning text into the declared types, strictly, and for naming what does not fit.

Belongs here: one expression a type. DuckDB's own casts are more generous than a contract may be:
``'1.5'`` becomes the integer 2, ``'2020-01-01 xyz'`` a date, and an offset in a timestamp is
ignored; each of these is refused or honoured here. Tests in ``tests/unit/test_landing_casts.py``.
"""

from __future__ import annotations

from crm_pipeline.defs.landing.contracts import ColumnContract, TableContract
from crm_pipeline.defs.landing.sqltext import literal, literals

_INTEGERS = ("bigint", "integer")
_EXACT = 2**53
"""Below it a double holds every whole number."""
_WHOLE_NUMBER = r"\s*[+-]?\d+(\.0*)?\s*"
_DATE = r"\s*\d{4}[-/]\d{1,2}[-/]\d{1,2}\s*"


def from_text(column: ColumnContract, contract: TableContract, value: str) -> str:
    """Return SQL that casts the VARCHAR ``value`` to the column's type, null where it does not fit.

    Timestamps become UTC; run it in a session whose ``TimeZone`` is the source's (naive values
    without a declared format are read as TIMESTAMPTZ, which also honours explicit offsets).
    """
    kind = column.data_type
    if kind == "varchar":
        return f"trim({value})" if _is_key(column, contract) else value
    if kind in _INTEGERS:
        cast = f"try_cast({value} as {kind})"
        return (
            f"case when cast({cast} as varchar) = {value} "
            f"or regexp_full_match({value}, {literal(_WHOLE_NUMBER)}) then {cast} end"
        )
    if kind == "boolean":
        return f"try_cast(trim({value}) as boolean)"
    if kind == "date":
        return _date_from_text(contract, value)
    if kind == "timestamp":
        return _timestamp_from_text(contract, value)
    cast = f"case when not contains({value}, '_') then try_cast({value} as {kind}) end"
    return _finite(cast) if kind == "double" else cast


def from_native(column: ColumnContract, contract: TableContract, value: str, native: str) -> str:
    """Return SQL that casts ``value`` of the DuckDB type ``native`` (from Parquet).

    Doubles become decimals by rounding; a fraction is no integer, a time of day no date. A key that
    came as a double, as numbers with gaps do from pandas, is written without its ``.0``.
    """
    kind, native = column.data_type, native.upper()
    if native == "VARCHAR":
        return from_text(column, contract, value)
    if kind in _INTEGERS and native.startswith(("DOUBLE", "FLOAT", "DECIMAL")):
        return f"case when {value} = trunc({value}) then try_cast({value} as {kind}) end"
    if kind == "varchar" and native in ("DOUBLE", "FLOAT") and _is_key(column, contract):
        whole = f"{value} = trunc({value}) and abs({value}) < {_EXACT}"
        return (
            f"case when {whole} then cast(cast({value} as bigint) as varchar) "
            f"else cast({value} as varchar) end"
        )
    if kind == "date" and native.startswith("TIMESTAMP"):
        local = _local_time(contract, value, native)
        return f"case when {local} = date_trunc('day', {local}) then cast({local} as date) end"
    if kind == "timestamp":
        if native == "TIMESTAMP WITH TIME ZONE":
            return _utc_of_instant(value)
        return _utc_of_local(contract, f"try_cast({value} as timestamp)")
    cast = f"try_cast({value} as {kind})"
    return _finite(cast) if kind == "double" else cast


def fault_of(column: ColumnContract, value: str, typed: str) -> str:
    """Return SQL for the reason why a value does not fit, null where it does."""
    checks = []
    is_text = column.data_type == "varchar"
    if column.required:
        # a blank number names nothing: models would make a null key of it; a text is looked at as
        # it was cast, since it may come as a number
        missing = f"coalesce(trim({typed}), '') = ''" if is_text else f"{value} is null"
        checks.append(f"when {missing} then 'missing_value'")
    if column.data_type != "varchar":
        checks.append(f"when {value} is not null and {typed} is null then 'bad_type'")
    if bounds := range_of(column, typed):
        checks.append(f"when not ({bounds}) then 'out_of_range'")
    return f"case {' '.join(checks)} end" if checks else "null"


def fits(column: ColumnContract, value: str, typed: str) -> str:
    """Return SQL that is true where a value fits; never null."""
    checks = []
    if column.data_type == "varchar":
        if column.required:
            checks.append(f"coalesce(trim({typed}) <> '', false)")
    elif column.required:
        checks.append(f"{typed} is not null")
    else:
        checks.append(f"({value} is null or {typed} is not null)")
    if bounds := range_of(column, typed):
        checks.append(f"coalesce({bounds}, true)")
    return " and ".join(checks) or "true"


def range_of(column: ColumnContract, typed: str) -> str:
    """Return SQL for the declared range; empty where there is none."""
    bounds = []
    if column.minimum is not None:
        bounds.append(f"{typed} >= cast({literal(column.minimum)} as {column.data_type})")
    if column.maximum is not None:
        bounds.append(f"{typed} <= cast({literal(column.maximum)} as {column.data_type})")
    return " and ".join(bounds)


def _is_key(column: ColumnContract, contract: TableContract) -> bool:
    """Whether a text is to be written one way: else a padded key would stand beside its own."""
    return bool(column.identifies) or column.name in contract.key


def _finite(value: str) -> str:
    return f"case when isfinite({value}) then {value} end"


def _date_from_text(contract: TableContract, value: str) -> str:
    if contract.date_formats:
        return f"cast(try_strptime({value}, {literals(contract.date_formats)}) as date)"
    cast, time = f"try_cast({value} as date)", f"try_cast({value} as timestamp)"
    midnight = f"case when {time} = date_trunc('day', {time}) then cast({time} as date) end"
    return (
        f"case when cast({cast} as varchar) = {value} "
        f"or regexp_full_match({value}, {literal(_DATE)}) then {cast} "
        f"when length({value}) > 11 then {midnight} end"
    )


def _timestamp_from_text(contract: TableContract, value: str) -> str:
    formats = contract.timestamp_formats
    if not formats:
        return _utc_of_instant(f"try_cast({value} as timestamptz)")
    local = [form for form in formats if "%z" not in form and "%Z" not in form]
    instants = [form for form in formats if form not in local]
    parsed = [
        _utc_of_local(contract, f"try_strptime({value}, {literals(local)})") if local else "",
        _utc_of_instant(f"try_strptime({value}, {literals(instants)})") if instants else "",
    ]
    return f"coalesce({', '.join(part for part in parsed if part)})"


def _utc_of_instant(value: str) -> str:
    """A TIMESTAMPTZ as naive UTC; infinities become null. No ICU call: it costs .16 us a row."""
    return f"case when isfinite({value}) then make_timestamp(epoch_us({value})) end"


def _utc_of_local(contract: TableContract, value: str) -> str:
    """A naive local TIMESTAMP as naive UTC.

    In the hour that is skipped in spring the offset before it applies, in the hour that comes
    twice in autumn the later offset (ICU's rule).
    """
    if contract.time_zone == "UTC":
        return value
    return f"make_timestamp(epoch_us(timezone({literal(contract.time_zone)}, {value})))"


def _local_time(contract: TableContract, value: str, native: str) -> str:
    if native == "TIMESTAMP WITH TIME ZONE":
        return f"timezone({literal(contract.time_zone)}, {value})"
    return f"try_cast({value} as timestamp)"
