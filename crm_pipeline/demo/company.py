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

from crm_pipeline.demo import (
    advertising,
    billing,
    leads,
    marketing,
    memberships,
    people,
    profiles,
    sales,
    service,
    stock,
    tags,
    web,
)
from crm_pipeline.demo.behaviour import (
    SEGMENTS,
    Calendar,
    Latents,
    draw_latents,
    draw_orders,
)
from crm_pipeline.demo.catalogue import PLANS, PRICE_RISE, SERVICES, Catalogue, build_catalogue
from crm_pipeline.demo.persons import Persons
from crm_pipeline.demo.tables import (
    CENTS,
    DAY_SECONDS,
    amounts,
    instants,
    local_seconds,
    text,
)
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
        tables: By table name, the rows as delivered, before dirt, of all departments.
        truths: By name, what is known of them: customers (latent parameters and totals), orders
            (day and amount), tickets, touches (of campaigns), opportunities, memberships.
    """

    number: int
    tables: dict[str, pa.Table]
    truths: dict[str, pa.Table]

    @property
    def true_customers(self) -> pa.Table:
        """Latent parameters and totals, one row a customer."""
        return self.truths["customers"]

    @property
    def true_orders(self) -> pa.Table:
        """Every order with its day and amount."""
        return self.truths["orders"]


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

    def dirt_stream(self, number: int, table: str = "") -> np.random.Generator:
        """Random numbers for the dirt of one block (or, at -1, of the small tables).

        Customers, orders, their lines, returns and products share a stream; every other table
        has its own, by its name.
        """
        if table:
            return self._stream(5, number + 1, *table.encode())
        return self._stream(2, number + 1)

    def products(self) -> pa.Table:
        """All versions of all products: one row per product and year in which prices changed."""
        goods, start = self.catalogue, self.calendar.start
        others = (*SERVICES, *PLANS)
        sku = [*goods.sku, *(other[0] for other in others)]
        name = [*goods.name, *(other[1] for other in others)]
        category = [*goods.category, *("Service" for _ in others)]
        kinds = [*("Service" for _ in SERVICES), *("Membership" for _ in PLANS)]
        subcategory = [*goods.subcategory, *kinds]
        price = np.concatenate([goods.price, [other[2] for other in others]])
        cost = np.concatenate([goods.cost, [other[3] for other in others]])
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

    @cached_property
    def campaigns(self) -> list[marketing.Campaign]:
        """What marketing does, and how strongly it works."""
        return marketing.plan(self.calendar)

    def small_tables(self) -> dict[str, pa.Table]:
        """The tables, or parts of them, that do not grow with the customers, by name."""
        goods, calendar = self.catalogue, self.calendar
        return {
            "products": self.products(),
            "inventory": stock.inventory_table(self._stream(4, 0), goods, calendar),
            "adjustments": stock.corrections_table(self._stream(4, 1), goods, calendar),
            "agents": service.agents_table(),
            "campaigns": pa.concat_tables(
                [
                    marketing.campaigns_table(self.campaigns, self.customers),
                    advertising.advertising_table(self._stream(4, 2), self.customers, calendar),
                ]
            ),
            "owners": leads.owners_table(),
        }

    def block(self, number: int) -> Block:
        """Make one block: who its customers are, what they bought and brought back.

        First the process of ``behaviour.py``; then what service and campaigns change in it.
        """
        first = number * BLOCK_CUSTOMERS
        size = min(BLOCK_CUSTOMERS, self.customers - first)
        behave, shop, bring_back, enrol = (self._stream(1, number, part) for part in range(4))
        desk, campaign, more, talk, sell, visit, pay, found, join, tag, ask = (
            self._stream(3, number, part) for part in range(11)
        )
        buyers = size - int(PROSPECT_RATE * size)
        latents = draw_latents(behave, buyers, self.calendar)
        customer, time, amount = self._with_guests(behave, latents)
        placed = sales.place_orders(shop, customer, time, amount, self.calendar)
        filled = sales.fill_baskets(shop, placed, self.catalogue, self.calendar)
        brought = sales.bring_back(
            bring_back, placed, filled, buyers, self.catalogue, self.calendar
        )
        records = people.enrol(enrol, placed, size, self.calendar)
        numbers = np.asarray([f"K{first + i + 1:07d}" for i in range(size)], dtype=object)
        persons = Persons.of(numbers, first)

        tickets, gone = service.serve(desk, placed, size)
        known = placed.customer >= 0
        stay = ~known | (placed.at <= gone[placed.customer])
        tickets = tickets.take(stay[tickets.order])
        touches = marketing.run_campaigns(
            campaign, self.campaigns, records, self._first_orders(placed, size),
            np.minimum(gone, self._own_dropouts(latents, size)), self.calendar,
        )  # fmt: skip
        extra = marketing.caused_orders(more, touches, latents)
        orders, lines, returns = sales.with_campaigns(
            placed, filled, brought, stay, extra,
            sales.fill_baskets(more, extra, self.catalogue, self.calendar),
        )  # fmt: skip
        order_no, cents = sales.order_numbers(number, orders), sales.order_cents(orders, lines)
        payer = billing.draw_payers(pay, size)
        desk_tables, true_tickets = service.desk_tables(
            talk, number, tickets, sales.order_numbers(number, placed),
            sales.first_skus(placed, filled, self.catalogue), persons, self.calendar,
        )  # fmt: skip
        sent_tables, true_touches = marketing.marketing_tables(
            more, number, self.campaigns, touches, records, orders, cents, persons
        )
        sold_tables, true_opportunities = leads.business_tables(
            sell, found, number, persons, self.catalogue, self.calendar
        )
        bills = billing.draw_bills(pay, orders, cents, payer)
        joined, true_memberships = memberships.memberships_tables(
            join, number, orders, tickets, numbers, self.calendar
        )
        return Block(
            number=number,
            tables={
                "customers": people.customers_table(records, numbers),
                "orders": sales.orders_table(number, orders, numbers),
                "order_items": sales.order_items_table(number, orders, lines, self.catalogue),
                "returns": sales.returns_table(number, orders, returns, numbers, self.catalogue),
                "payments": billing.payments_table(bills, orders, order_no, numbers, self.calendar),
                "adjustments": billing.bad_debts_table(
                    bills, orders, order_no, returns, self.calendar
                ),
                "memberships": joined,
                "sessions": web.sessions_table(
                    visit, number, orders, order_no, numbers, self.calendar
                ),
                **desk_tables,
                "customer_tags": tags.customer_tags_table(
                    tag, number, tickets, persons, self.calendar
                ),
                **sent_tables,
                "profiles": profiles.profiles_table(ask, records, persons, self.calendar),
                **sold_tables,
            },
            truths={
                "customers": self._true_customers(
                    latents, gone, payer, orders, lines, returns, records, numbers
                ),
                "orders": sales.true_orders_table(number, orders, lines, numbers),
                "tickets": true_tickets,
                "touches": true_touches,
                "opportunities": true_opportunities,
                "memberships": true_memberships,
            },
        )

    @staticmethod
    def _first_orders(orders: sales.Orders, size: int) -> np.ndarray:
        """Instant of each customer's first order; ``LATEST`` without one."""
        first = np.full(size, marketing.LATEST)
        known = orders.customer >= 0
        np.minimum.at(first, orders.customer[known], orders.at[known])
        return first

    def _own_dropouts(self, latents: Latents, size: int) -> np.ndarray:
        """Instant of each buyer's dropout by the process; 0 for those who never buy."""
        instant = np.zeros(size)
        instant[: len(latents.dropout)] = latents.dropout * DAY_SECONDS
        return (instant + local_seconds(self.calendar.start)).astype(np.int64)

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
        gone: np.ndarray,
        payer: np.ndarray,
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
        days_gone = (gone[:buyers] - local_seconds(self.calendar.start)) / DAY_SECONDS
        dropout = np.minimum(latents.dropout, days_gone)
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
                "dropout_time": latent(dropout),
                "left_over_service": pa.array(gone < service.NEVER),
                "payer": text(np.asarray(billing.PAYERS, dtype=object)[payer]),
                "order_count": pa.array(count),
                "gross_amount": amounts(gross),
                "returned_amount": amounts(returned),
                "has_record": pa.array(records.has_record),
            }
        )
