"""A company just large enough to send an audience: publication, warehouse, vault of a few people.

What a test changes are the ``humans``; ``Company.publish`` writes it where the sender looks.
"""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import closing
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import duckdb
import pyarrow as pa

from crm_pipeline.activation.audiences import Audience, Cap, DestinationSpec, Outcome
from crm_pipeline.activation.destinations.base import Destination
from crm_pipeline.activation.destinations.files import FileDestination
from crm_pipeline.activation.people import person_of
from crm_pipeline.activation.sending import Sender
from crm_pipeline.defs.landing.contracts import ColumnContract, SourceContract, TableContract
from crm_pipeline.defs.landing.guard import CUSTOMER
from crm_pipeline.settings import Settings, load_settings
from crm_pipeline.vault.store import open_vault

KEY = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="
FILE = "people.csv"
CONTENT = ("crm", "people", "d1", "c1")
DAY = date(2026, 6, 30)
HTTP = DestinationSpec("service", "http", batch_size=7, requests_per_minute=1e9)


def column(name: str, **settings: object) -> ColumnContract:
    bare = ColumnContract(name, "varchar", name, False, None, None, None)
    return replace(bare, **settings)  # type: ignore[arg-type]


TABLE = TableContract(
    source="crm", name="people", identifier="crm__people", declared_in="", time_zone="UTC",
    files=("people*.csv",), format="csv", delimiter=",", quote='"', encoding="utf-8",
    fallback_encoding="cp1252", header=True, null_tokens=("",), date_formats=(),
    timestamp_formats=(), key=("customer_no",), version=None, event_time=None,
    expected_every_days=None, max_quarantine_rate=None, control_total=None,
    columns=(
        column("customer_no", identifies=("customer",), pii="pseudonymous"),
        column("full_name", pii="direct", contact="full_name"),
        column("email", pii="direct", token="email", contact="email"),
        column("phone", pii="direct", token="phone", contact="phone"),
        column("birth_date", pii="direct", data_type="date", contact="birth_date"),
    ),
    namespace="crm", country="DE",
)  # fmt: skip
CONTRACTS = {"crm": SourceContract("crm", "crm", "UTC", None, None, (TABLE,))}

AUDIENCE = Audience(
    name="test",
    purpose="To be tested.",
    owner="team:test",
    version=1,
    channel="email",
    consent_purpose="marketing",
    destinations=("list", "service"),
    fields=("email", "full_name", "reason"),
    columns=("customer_key", "reason"),
    cap=None,
    experiment="test_1",
    holdout_share=0.2,
    minimum_size=1,
    largest_drop_rate=0.5,
    outcome=Outcome("conversion", 30, 0.05),
    birthday_within_days=None,
)
PLAIN = replace(AUDIENCE, experiment=None, holdout_share=0.0, outcome=None)
CAPPED = replace(PLAIN, cap=Cap(1, 30))


@dataclass
class Human:
    """One person of the world; ``answer`` is their consent: yes, no or unknown."""

    number: str
    answer: bool | None = True
    is_member: bool = True
    is_erased: bool = False
    reason: str = "because"
    email: str | None = ""
    phone: str | None = None
    birth_date: str | None = None

    @property
    def key(self) -> str:
        return f"crm:{self.number}"

    @property
    def address(self) -> str | None:
        return f"{self.number.lower()}@example.com" if self.email == "" else self.email


@dataclass
class Company:
    """A home with what the sender reads; ``humans`` is the truth."""

    home: Path
    humans: dict[str, Human] = field(default_factory=dict)
    as_of: date = DAY

    def __post_init__(self) -> None:
        (self.home / "published").mkdir(parents=True, exist_ok=True)
        (self.home / "tmp").mkdir(exist_ok=True)

    @property
    def settings(self) -> Settings:
        return load_settings(
            {"CRM_HOME": str(self.home), "CRM_SOURCES": "crm", "CRM_MASTER_KEY": KEY}
        )

    def add(self, *numbers: str, **settings: object) -> None:
        for number in numbers:
            self.humans[number] = Human(number, **settings)  # type: ignore[arg-type]

    def publish(self) -> None:
        """Write the world into publication, warehouse and vault."""
        living = [human for human in self.humans.values() if not human.is_erased]
        for file in (self.home / "published" / "crm.duckdb", self.home / "warehouse.duckdb"):
            file.unlink(missing_ok=True)
            with closing(duckdb.connect(str(file))) as db:
                db.execute(
                    "create schema marts; create schema meta; create schema raw; "
                    "create schema control; create schema intermediate"
                )
                _fill(db, living, self.as_of)
        self._fill_vault(living)

    def _fill_vault(self, living: Iterable[Human]) -> None:
        known = list(living)
        with open_vault(self.home, KEY) as vault:
            number = vault.begin_content(CONTENT)
            vault.put(
                number,
                CONTENT,
                [self._line(human) for human in known],
                [person_of(vault.keys, human.key) for human in known],
                {
                    "full_name": [f"Name {human.number}" for human in known],
                    "email": [human.address for human in known],
                    "phone": [human.phone for human in known],
                    "birth_date": [human.birth_date for human in known],
                },
            )
            vault.con.commit()

    def _line(self, human: Human) -> int:
        return [h.number for h in self.humans.values() if not h.is_erased].index(human.number) + 2

    def erase(self, number: str) -> None:
        """Do what `crm forget` does at once; the rows leave with the next ``publish``."""
        self.humans[number].is_erased = True
        with open_vault(self.home, KEY) as vault:
            person = person_of(vault.keys, self.humans[number].key)
            vault.bury({(CUSTOMER, person)}, datetime.now(UTC).replace(tzinfo=None))
            vault.destroy([person])

    def sender(self, audience: Audience, destination: Destination, name: str = "list") -> Sender:
        clock = lambda: datetime.now(UTC).replace(tzinfo=None)  # noqa: E731
        return Sender(self.settings, CONTRACTS, audience, name, destination, clock)

    def files(self, form: str = "csv", secret: str | None = None) -> FileDestination:
        return FileDestination(self.home / "outbox" / "list", form, secret)

    def pass_days(self, days: int) -> None:
        self.as_of += timedelta(days=days)


def _fill(db: duckdb.DuckDBPyConnection, living: list[Human], as_of: date) -> None:
    everybody = pa.table(
        {
            "customer_key": pa.array([human.key for human in living], pa.string()),
            "customer_no": pa.array([human.number for human in living], pa.string()),
            "reason": pa.array([human.reason for human in living], pa.string()),
            "is_member": pa.array([human.is_member for human in living], pa.bool_()),
            "is_granted": pa.array([human.answer for human in living], pa.bool_()),
        }
    )
    lines = pa.array(range(2, len(living) + 2), pa.int64())
    db.register("everybody", everybody)
    db.execute(
        "create table marts.audience_test as "
        "select customer_key, reason from everybody where is_member"
    )
    db.execute(
        "create table marts.customer_consents as select customer_key, 'email' as channel, "
        "'marketing' as purpose, is_granted from everybody where is_granted is not null"
    )
    db.execute(
        "create table marts.dim_customers as select customer_key, "
        "cast(null as boolean) as is_marketing_allowed from everybody"
    )
    db.execute("create table meta.build as select cast(? as date) as as_of", [as_of])
    db.register("numbered", everybody.append_column("_line", lines))
    db.execute(
        f"create table raw.crm__people as select customer_no, '{FILE}' as _file, _line "
        "from numbered"
    )
    db.execute(
        "create table control.current_files as select 'crm' as source, 'people' as table_name, "
        f"'{FILE}' as file_name, 'd1' as digest"
    )
    db.execute(
        "create table intermediate.int_customers__records as "
        "select customer_key as record_key, customer_key from everybody"
    )
