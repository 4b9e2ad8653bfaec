"""``crm explain``: from a published figure to the facts behind it, to file and line."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from datetime import date
from typing import Any

import duckdb

from crm_pipeline.commands.query import as_sql_spells, open_published
from crm_pipeline.errors import UserError
from crm_pipeline.explain.customer import Customer, look_up
from crm_pipeline.explain.figures import Proof, check_metric, definition, prove
from crm_pipeline.explain.trace import Fact, Tracer, facts_of
from crm_pipeline.settings import Settings, load_settings

_WAIT_SECONDS = 5.0


def explain(options: argparse.Namespace) -> int:
    """Print a figure's proof and the lines behind it; 0 if it holds, 1 if not."""
    settings = load_settings()
    with open_published(settings.published / "crm.duckdb") as db:
        if ":" in options.what:
            if options.month is not None:
                raise UserError("a customer is explained whole: leave the month out.")
            return _customer(settings, db, options.what, options.limit)
        check_metric(options.what)
        return _figure(settings, db, options.what, _month(options.month), options.limit)


def _month(text: str | None) -> date:
    try:
        return date.fromisoformat(f"{text}-01")
    except ValueError:
        raise UserError(f"{text or 'no month'} is not a month; write it as 2026-11.") from None


def _shown(value: Any) -> str:
    """Return a published value as it stands in the file: a year of birth is not a thousand."""
    return "none" if value is None else str(as_sql_spells(value))


def _figure(
    settings: Settings, db: duckdb.DuckDBPyConnection, metric: str, month: date, limit: int
) -> int:
    proof = prove(db, metric, month, limit)
    _print_build(db)
    cut = "" if proof.is_complete else " (the as-of date cuts this month)"
    print(f"{metric} of {month:%Y-%m}: {_shown(proof.published)}{cut}")
    print(f"  {proof.definition}")
    for total in proof.totals:
        print(f"  {total.name} = {_shown(total.sum)}: {total.count:,} {total.text}")
    print(f"  {proof.equation} = {_shown(proof.recomputed)}: {_verdict(proof)}")
    facts = {total.name: facts_of(total.facts) for total in proof.totals}
    places = _places(settings, [fact for found in facts.values() for fact in found])
    for total in proof.totals:
        print(f"{total.name}: {len(facts[total.name])} of {total.count:,} {total.text}")
        for fact, amount in zip(facts[total.name], total.facts["amount"], strict=True):
            is_whose = fact.kind not in ("line", "return") and fact.customer_key
            who = f"{fact.customer_key}, {fact.kind} " if is_whose else ""
            print(f"  {who}{fact.key}  {fact.happened_on}  {amount}  {_said(places, fact)}")
    _say_untraced(places)
    return 0 if proof.holds else 1


def _verdict(proof: Proof) -> str:
    return "equals the published figure" if proof.holds else "DOES NOT EQUAL the published figure"


def _print_build(db: duckdb.DuckDBPyConnection) -> None:
    row = db.execute("select as_of, built_at from meta.build").fetchone()
    assert row is not None
    print(f"published as of {row[0]}, built {row[1]} UTC")


def _customer(settings: Settings, db: duckdb.DuckDBPyConnection, key: str, limit: int) -> int:
    found = look_up(db, key, limit)
    _print_build(db)
    print(f"{key}: what marts.customer_360 says")
    for name, value in found.row.items():
        if name not in ("customer_key", *found.figures):
            print(f"  {name} = {_shown(value)}")
    print("and what its orders and returns give")
    for name, (published, recomputed) in found.figures.items():
        is_same = published == recomputed
        verdict = "equal" if is_same else f"BUT THE FACTS GIVE {_shown(recomputed)}"
        print(f"  {name} = {_shown(published)}: {verdict}")
        print(f"    {definition(db, 'customer_360', name)}")
    _print_facts(settings, found)
    return 0 if found.holds else 1


def _print_facts(settings: Settings, found: Customer) -> None:
    lines, returns = facts_of(found.lines), facts_of(found.returns)
    places = _places(settings, [*lines, *returns])
    print(f"orders: {len(found.orders)} of {found.order_count:,}")
    details = list(zip(lines, found.lines.itertuples(), strict=True))
    for order in found.orders.itertuples():
        day = order.ordered_on.date()
        lines_in_it = "1 line" if order.line_count == 1 else f"{order.line_count} lines"
        print(f"  {order.order_key}  {day}  {order.gross_amount}  {lines_in_it}")
        for fact, row in details:
            if fact.key == order.order_key:
                what = f"line {row.line_number}  {row.product_key}  {row.quantity}  {row.amount}"
                print(f"    {what}  {_said(places, fact)}")
    print(f"returns: {len(returns)} of {found.return_count:,}")
    for fact, row in zip(returns, found.returns.itertuples(), strict=True):
        what = f"{fact.key}  {fact.happened_on}  {row.product_key}  {row.quantity}  {row.amount}"
        print(f"  {what}  {_said(places, fact)}")
    _say_untraced(places)


def _places(settings: Settings, facts: Sequence[Fact]) -> dict[Fact, list[str]] | UserError:
    """Return where each fact stands, or why that cannot be told now."""
    from crm_pipeline.defs.landing.sources import sources_from_manifest
    from crm_pipeline.repair.home import door
    from crm_pipeline.resources.dbt import ensure_manifest

    manifest = ensure_manifest()
    try:
        with door(settings, _WAIT_SECONDS).reader() as db:
            return Tracer(db, manifest, sources_from_manifest(manifest)).places(facts)
    except UserError as error:
        return error


def _said(places: dict[Fact, list[str]] | UserError, fact: Fact) -> str:
    if isinstance(places, UserError):
        return ""
    found = places[fact]
    more = f" and {len(found) - 3} more lines" if len(found) > 3 else ""
    return ", ".join(found[:3]) + more if found else "(no line that counts names it)"


def _say_untraced(places: dict[Fact, list[str]] | UserError) -> None:
    """Raise what kept us from the files, now that everything else is said."""
    if isinstance(places, UserError):
        raise UserError(f"files and lines are in the warehouse, which cannot be read now: {places}")
