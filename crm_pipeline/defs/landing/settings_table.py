"""``control.run_settings``: the one row that everything after landing is computed for."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date

import duckdb

from crm_pipeline.defs.landing.sources import SourceContract
from crm_pipeline.errors import UserError
from crm_pipeline.settings import Settings

_TABLE = """
create or replace table control.run_settings (
    as_of date not null, horizon_days integer not null, clv_horizon_days integer not null,
    clv_holdout_days integer not null, discount_rate double not null, currency varchar not null,
    time_zone varchar not null)
"""
NO_CURRENCY = "XXX"
"""ISO 4217's code where no currency is involved: a help desk or a web log alone has no amounts."""
HOLDOUTS_IN_HISTORY = 3
"""A value model needs more history to learn from than it is tested on."""


def reporting_currency(settings: Settings, contracts: Mapping[str, SourceContract]) -> str:
    """Return the company's currency: the setting, else the one that all enabled sources share.

    Sources in another one are converted while facts are built (``macros/currency.sql``).

    Raises:
        UserError: The sources differ and no setting says which is the company's, or one is in
            another currency and no enabled source brings exchange rates.
    """
    theirs = {name: contracts[name].currency for name in settings.sources}
    stated = {currency for currency in theirs.values() if currency}
    currency = settings.currency or (next(iter(stated)) if len(stated) == 1 else None)
    if currency is None and not stated:
        return NO_CURRENCY
    if currency is None:
        raise UserError(f"the sources' currencies differ ({theirs}): set CRM_CURRENCY.")
    other = sorted(name for name, own in theirs.items() if own and own != currency)
    if other and not any("exchange_rates" in contracts[name].entities for name in theirs):
        raise UserError(
            f"{', '.join(other)} is not in {currency}, the company's currency, and no enabled "
            "source brings exchange_rates: add exchange_rates to CRM_SOURCES and put a file with "
            "day,currency,rate into inbox/exchange_rates/, disable "
            f"{', '.join(other)}, or give it a home of its own."
        )
    return currency


def holdout_days(settings: Settings, history_days: int) -> int:
    """Return how long a later period the value model is tested on.

    Its own horizon where the history is three times as long; else the churn horizon, or a third
    of the history where even that is too long.
    """
    if history_days >= HOLDOUTS_IN_HISTORY * settings.clv_horizon_days:
        return settings.clv_horizon_days
    return max(1, min(settings.horizon_days, history_days // HOLDOUTS_IN_HISTORY))


def write_run_settings(
    con: duckdb.DuckDBPyConnection,
    settings: Settings,
    contracts: Mapping[str, SourceContract],
    *,
    asked: date | None,
    span: tuple[date | None, date | None],
) -> dict[str, object]:
    """Write the row and return it.

    Args:
        con: Connection with the writer's slot.
        settings: The company's settings.
        contracts: All sources, by name.
        asked: The as-of date that was asked for; ``None`` takes the latest event's day.
        span: Days of the first and the latest event among the enabled sources.

    Raises:
        UserError: There is no as-of date to be had, or it lies before the first event.
    """
    first, latest = span
    as_of = asked or latest
    if as_of is None:
        folders = ", ".join(f"inbox/{name}/" for name in settings.sources)
        raise UserError(
            f"no data has landed and no as-of date is known: put files into {folders} of CRM_HOME "
            "(try `crm demo`), or state `as_of` in the sources file of a source without dates."
        )
    if first is not None and as_of < first:
        raise UserError(f"as_of {as_of} lies before the first event in the data, {first}.")
    history = (as_of - first).days if first else 0
    row: dict[str, object] = {
        "as_of": as_of,
        "horizon_days": settings.horizon_days,
        "clv_horizon_days": settings.clv_horizon_days,
        "clv_holdout_days": holdout_days(settings, history),
        "discount_rate": settings.discount_rate,
        "currency": reporting_currency(settings, contracts),
        "time_zone": settings.time_zone,
    }
    con.execute("create schema if not exists control")
    con.execute(_TABLE)
    values = ", ".join("?" for _ in row)
    con.execute(f"insert into control.run_settings values ({values})", list(row.values()))
    return row


def currency_of_the_run(con: duckdb.DuckDBPyConnection) -> str | None:
    """Return the currency of the row's amounts, or ``None`` where no source has any."""
    rows = con.execute("select nullif(currency, ?) from control.run_settings", [NO_CURRENCY])
    row: tuple[str | None] | None = rows.fetchone()
    assert row is not None
    return row[0]
