"""From facts to the lines of the files they came from.

Which raw tables feed an entity is read from dbt's graph; which of their columns names the order,
the product, the return or the ticket, from the sources' contracts. A fact whose source numbers no
orders is found by its customer and day.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any

import duckdb
import pandas as pd

from crm_pipeline.defs.landing.contracts import ColumnContract, SourceContract, TableContract
from crm_pipeline.defs.landing.sqltext import identifier

_ENTITY = {
    "line": ("order_items",),
    "order": ("orders", "order_items"),
    "return": ("returns",),
    "ticket": ("tickets",),
    "interaction": ("interactions",),
    "response": ("survey_responses",),
    "session": ("sessions",),
    "opportunity": ("opportunities",),
    "lead": ("leads",),
    "touch": ("campaign_touches",),
    "campaign": ("campaigns",),
}
_OF_PURCHASES = ("line", "order", "return")
_NUMBER = re.compile(r"-(\d+)$")


@dataclass(frozen=True)
class Fact:
    """One fact row, as the terms of a figure give it.

    Attributes:
        kind: ``line`` or ``order`` (``key`` is the order's), or what the key is of: ``return``,
            ``ticket``, ``session``, ...
        key: ``<source>:<number>``.
        product_key: Product of a line or return.
        ordinal: Which one, where an order has several lines of one product.
        customer_key: The customer, if known.
        happened_on: The business day.
    """

    kind: str
    key: str
    product_key: str | None = None
    ordinal: int = 1
    customer_key: str | None = None
    happened_on: date | None = None

    @property
    def source(self) -> str:
        """The source that brought it."""
        return self.key.partition(":")[0]

    @property
    def number(self) -> str:
        """Its number in that source."""
        return self.key.partition(":")[2]


def facts_of(frame: pd.DataFrame) -> list[Fact]:
    """Return the rows of a term's facts."""
    return [
        Fact(
            kind=row.kind,
            key=row.fact_key,
            product_key=_text(row.product_key),
            ordinal=int(row.ordinal),
            customer_key=_text(row.customer_key),
            happened_on=pd.Timestamp(row.happened_on).date(),
        )
        for row in frame.itertuples()
    ]


def _text(value: Any) -> str | None:
    return None if pd.isna(value) else str(value)


class Tracer:
    """Finds the lines of facts in the raw tables of one open warehouse."""

    def __init__(
        self,
        db: duckdb.DuckDBPyConnection,
        manifest: Mapping[str, Any],
        contracts: Mapping[str, SourceContract],
    ) -> None:
        """Take the warehouse, dbt's manifest and the contracts."""
        self.db = db
        self.manifest = manifest
        self.contracts = contracts

    def places(self, facts: Iterable[Fact]) -> dict[Fact, list[str]]:
        """Return fact -> ``file:line`` of each raw row behind it; empty where none is found."""
        groups: dict[tuple[str, str], list[Fact]] = defaultdict(list)
        for fact in facts:
            groups[fact.source, fact.kind].append(fact)
        found: dict[Fact, list[str]] = {}
        for (source, kind), members in groups.items():
            for entity in _ENTITY[kind]:
                for table in self.feeding(source, entity):
                    missing = [fact for fact in members if not found.get(fact)]
                    found.update(self._in_table(table, missing))
        return {fact: found.get(fact, []) for members in groups.values() for fact in members}

    def feeding(self, source: str, entity: str) -> list[TableContract]:
        """Return the raw tables of ``source`` that its ``entity`` is made from."""
        if source not in self.contracts:
            return []
        tables = {table.name: table for table in self.contracts[source].tables}
        waiting = [
            unique_id
            for unique_id, node in self.manifest["nodes"].items()
            if node["resource_type"] == "model" and node["name"] == f"stg_{source}__{entity}"
        ]
        names, seen = [], set(waiting)
        while waiting:
            for parent in self.manifest["nodes"][waiting.pop()]["depends_on"]["nodes"]:
                node = self.manifest["sources"].get(parent)
                if node is not None and node["schema"] == "raw":
                    names.append(node["name"])
                elif parent in self.manifest["nodes"] and parent not in seen:
                    seen.add(parent)
                    waiting.append(parent)
        return [tables[name] for name in dict.fromkeys(names) if name in tables]

    def _in_table(self, table: TableContract, facts: list[Fact]) -> dict[Fact, list[str]]:
        """Return the places of those facts that the table can tell of."""
        if not facts:
            return {}
        kind = facts[0].kind
        if kind not in _OF_PURCHASES:
            return self._by_own_number(table, kind, facts)
        if kind == "return" and len(table.key) == 1:
            key = table.column(table.key[0])
            return self._by_number(table, key, {fact: fact.number for fact in facts}, whole=True)
        if order := table.identity_of("order"):
            numbers = {
                # a return without a number of its own has its document's, and which line of it
                fact: _NUMBER.sub("", fact.number) if kind == "return" else fact.number
                for fact in facts
            }
            return self._by_number(table, order, numbers, whole=kind == "order")
        return self._by_customer_and_day(table, facts)

    def _by_own_number(
        self, table: TableContract, kind: str, facts: list[Fact]
    ) -> dict[Fact, list[str]]:
        column = table.identity_of(kind)
        if column is None and len(table.key) == 1:
            column = table.column(table.key[0])
        if column is None:
            return {}
        return self._by_number(table, column, {fact: fact.number for fact in facts}, whole=True)

    def _by_number(
        self, table: TableContract, column: ColumnContract, wanted: dict[Fact, str], *, whole: bool
    ) -> dict[Fact, list[str]]:
        product = table.identity_of("product")
        rows = self._rows(
            table, column.identity_sql, product.identity_sql if product else "''", wanted.values()
        )
        found: dict[Fact, list[str]] = {}
        for fact, number in wanted.items():
            lines = rows[number]
            if not whole and product and fact.product_key:
                own = fact.product_key.partition(":")[2]
                lines = [line for line in lines if line[0] == own]
            if not whole:
                lines = lines[fact.ordinal - 1 : fact.ordinal]
            found[fact] = [place for _, place in lines]
        return found

    def _by_customer_and_day(
        self, table: TableContract, facts: list[Fact]
    ) -> dict[Fact, list[str]]:
        customer = table.identity_of("customer") or next(
            (column for column in table.stored_columns if column.pii == "pseudonymous"), None
        )
        if customer is None or table.event_time is None:
            return {}
        if table.column(table.event_time).data_type != "date":
            return {}  # whose day it is depends on the company's zone
        numbers = [f.customer_key.partition(":")[2] for f in facts if f.customer_key]
        day = f"strftime({identifier(table.event_time)}, '%Y-%m-%d')"
        rows = self._rows(table, customer.identity_sql, day, numbers)
        found = {}
        for fact in facts:
            if fact.customer_key is None:
                continue
            which = _NUMBER.search(fact.number)
            of_day = [
                place
                for on, place in rows[fact.customer_key.partition(":")[2]]
                if on == str(fact.happened_on)
            ]
            nth = int(which.group(1)) if which else 1
            found[fact] = of_day[nth - 1 : nth]
        return found

    def _rows(
        self, table: TableContract, number: str, detail: str, wanted: Iterable[str]
    ) -> dict[str, list[tuple[str, str]]]:
        """Return number -> (detail, ``file:line``) of each row that counts, in the files' order."""
        rows: dict[str, list[tuple[str, str]]] = defaultdict(list)
        for found, said, file, line in self.db.execute(
            f"select {number}, {detail}, _file, _line from raw.{identifier(table.identifier)} "
            f"where {number} in (select unnest(?::varchar[])) order by _file, _line",
            [sorted(set(wanted))],
        ).fetchall():
            rows[found].append((said, f"{table.source}/{file}:{line}"))
        return rows
