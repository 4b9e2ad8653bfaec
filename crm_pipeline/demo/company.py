"""The demo company's clean records, block by block of customers.

``DemoCompany`` is a pure function of its four fields: no clock, no environment, no file. Every
block of ``BLOCK_CUSTOMERS`` customers has its own random streams, so any block can be made
alone, a company of any size needs the memory of one block, and the work can be cut anywhere.
What is broken on its way into the files is in ``dirt.py``; how files are written, in ``files.py``.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, timedelta
from functools import cached_property

import numpy as np
import pyarrow as pa

from crm_pipeline.demo import people, sales
from crm_pipeline.demo.behaviour import (
    SEGMENTS,
    Calendar,
    Latents,
    draw_latents,
    draw_orders,
)
from crm_pipeline.demo.catalogue import PRICE_RISE, SERVICES, Catalogue, build_catalogue
from crm_pipeline.demo.tables import CENTS, amounts, instants, local_seconds, text
from crm_pipeline.errors import UserError

BLOCK_CUSTOMERS = 1000
PROSPECT_RATE = 0.03
"""Customers on record who never order."""
GUEST_RATE = 0.04
"""Orders of nobody known, as a part of the known customers' orders."""
DEFAULT_END = date(2026, 6, 30)
DEFAULT_SEED = 20260630


@dataclass(frozen=True)
class Block:
    """The clean records of one block of customers, and their truth.

    Attributes:
        number: Position of the block.
        tables: By table name, the rows as delivered, before dirt: customers, orders,
            order_items, returns.
        true_customers: Latent parameters and totals, one row a customer.
        true_orders: Every order with its day and amount.
    """

    number: int
    tables: dict[str, pa.Table]
    true_customers: pa.Table
    true_orders: pa.Table


@dataclass(frozen=True)
class DemoCompany:
    """A company whose records end on ``end`` and whose customers' behaviour is known.

    Attributes:
        customers: Customers in the truth: with a record or at least one order.
        years: Length of the records.
        seed: Another seed, another company of the same kind.
        end: Last day of the records, inclusive.
    """

    customers: int = 5000
    years: int = 2
    seed: int = DEFAULT_SEED
    end: date = DEFAULT_END

    def __post_init__(self) -> None:
        """Refuse sizes that have no company.

        Raises:
            UserError: A size out of range.
        """
        if not 1 <= self.customers <= BLOCK_CUSTOMERS * 10_000:
            raise UserError(
                f"demo company: {self.customers} customers; choose between 1 and 10,000,000"
            )
        if not 1 <= self.years <= 20:
            raise UserError(f"demo company: {self.years} years; choose between 1 and 20")

    @cached_property
    def calendar(self) -> Calendar:
        """The days of the records: whole years that end on ``end``."""
        after = self.end + timedelta(days=1)
        day = 28 if (after.month, after.day) == (2, 29) else after.day
        return Calendar(after.replace(year=after.year - self.years, day=day), self.end)

    @cached_property
    def catalogue(self) -> Catalogue:
        """The goods; the same for companies with the same seed, whatever their size."""
        return build_catalogue(self._stream(0))

    @property
    def block_count(self) -> int:
        """Number of blocks; the last may be smaller."""
        return -(-self.customers // BLOCK_CUSTOMERS)

    def _stream(self, *key: int) -> np.random.Generator:
        return np.random.default_rng(np.random.SeedSequence(self.seed, spawn_key=key))

    def dirt_stream(self, number: int) -> np.random.Generator:
        """Random numbers for the dirt of one block (or, at -1, of the products)."""
        return self._stream(2, number + 1)

    def products(self) -> pa.Table:
        """All versions of all products: one row per product and year in which prices changed."""
        goods, start = self.catalogue, self.calendar.start
        sku = [*goods.sku, *(service[0] for service in SERVICES)]
        name = [*goods.name, *(service[1] for service in SERVICES)]
        category = [*goods.category, *("Service" for _ in SERVICES)]
        subcategory = [*goods.subcategory, *("Service" for _ in SERVICES)]
        price = np.concatenate([goods.price, [service[2] for service in SERVICES]])
        cost = np.concatenate([goods.cost, [service[3] for service in SERVICES]])
        is_goods = np.arange(len(sku)) < len(goods.sku)
        versions = []
        for year in range(start.year, self.end.year + 1):
            level = PRICE_RISE ** (year - start.year)
            known = start - timedelta(days=30) if year == start.year else date(year, 1, 1)
            at = np.full(len(sku), local_seconds(known) + 8 * 3600)
            versions.append(
                pa.table(
                    {
                        "sku": text(sku),
                        "product_name": text(name),
                        "category": text(category),
                        "subcategory": text(subcategory),
                        "list_price": amounts(
                            np.round(price * np.where(is_goods, level, 1.0) * CENTS)
                        ),
                        "unit_cost": amounts(
                            np.round(cost * np.where(is_goods, level, 1.0) * CENTS)
                        ),
                        "is_merchandise": pa.array(is_goods),
                        "updated_at": instants(at),
                    }
                )
            )
        return pa.concat_tables(versions)

    def block(self, number: int) -> Block:
        """Make one block: who its customers are, what they bought and brought back."""
        first = number * BLOCK_CUSTOMERS
        size = min(BLOCK_CUSTOMERS, self.customers - first)
        behave, shop, bring_back, enrol = (self._stream(1, number, part) for part in range(4))
        buyers = size - int(PROSPECT_RATE * size)
        latents = draw_latents(behave, buyers, self.calendar)
        customer, time, amount = self._with_guests(behave, latents)
        orders = sales.place_orders(shop, customer, time, amount, self.calendar)
        lines = sales.fill_baskets(shop, orders, self.catalogue, self.calendar)
        returns = sales.bring_back(bring_back, orders, lines, buyers, self.catalogue, self.calendar)
        records = people.enrol(enrol, orders, size, self.calendar)
        numbers = np.asarray([f"K{first + i + 1:07d}" for i in range(size)], dtype=object)
        return Block(
            number=number,
            tables={
                "customers": people.customers_table(records, numbers),
                "orders": sales.orders_table(number, orders, numbers),
                "order_items": sales.order_items_table(number, orders, lines, self.catalogue),
                "returns": sales.returns_table(number, orders, returns, numbers, self.catalogue),
            },
            true_customers=self._true_customers(latents, orders, lines, returns, records, numbers),
            true_orders=sales.true_orders_table(number, orders, lines, numbers),
        )

    def _with_guests(
        self, rng: np.random.Generator, latents: Latents
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """The customers' orders and, with customer -1, guests' orders of the same kinds."""
        customer, time, amount = draw_orders(rng, latents, self.calendar)
        guests = round(GUEST_RATE * len(customer))
        like = rng.integers(0, len(amount), guests)
        elapsed = rng.random(guests) * self.calendar.operational(np.asarray([self.calendar.days]))
        return (
            np.concatenate([customer, np.full(guests, -1)]),
            np.concatenate([time, self.calendar.time_of(elapsed)]),
            np.concatenate([amount, amount[like] * rng.uniform(0.8, 1.2, guests)]),
        )

    def _true_customers(
        self,
        latents: Latents,
        orders: sales.Orders,
        lines: sales.Lines,
        returns: sales.Returns,
        records: people.Records,
        numbers: np.ndarray,
    ) -> pa.Table:
        size, buyers = len(numbers), len(latents.segment)
        prospects = size - buyers

        def latent(values: np.ndarray) -> pa.Array:
            padded = np.concatenate([values, np.full(prospects, np.nan)])
            return pa.array(padded, mask=np.isnan(padded))

        known = orders.customer >= 0
        count = np.bincount(orders.customer[known], minlength=size)
        of_line = orders.customer[lines.order]
        goods = of_line >= 0
        gross = np.bincount(
            of_line[goods], (lines.quantity * lines.unit_cents)[goods], minlength=size
        )
        theirs = returns.customer >= 0
        returned = np.bincount(returns.customer[theirs], returns.cents[theirs], minlength=size)
        names = [SEGMENTS[segment].name for segment in latents.segment]
        return pa.table(
            {
                "customer_no": text(numbers),
                "segment": text([*names, *([None] * prospects)]),
                "order_rate": latent(latents.order_rate),
                "dropout_rate": latent(latents.dropout_rate),
                "spend_rate": latent(latents.spend_rate),
                "mean_order_amount": latent(latents.mean_order_amount),
                "first_order_time": latent(latents.first_order),
                "dropout_time": latent(latents.dropout),
                "order_count": pa.array(count),
                "gross_amount": amounts(gross),
                "returned_amount": amounts(returned),
                "has_record": pa.array(records.has_record),
            }
        )
