"""The help desk: business hours against a count of minutes, and the real incident log."""

from __future__ import annotations

import csv
import gzip
import random
import shutil
from collections import Counter, defaultdict
from datetime import date, datetime, timedelta
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from crm_pipeline.defs.landing.loader import land
from crm_pipeline.defs.landing.sources import sources_from_manifest
from crm_pipeline.resources.dbt import ensure_manifest
from tests.unit.service_oracle import Desk, Minutes, wilson
from tests.unit.sql_harness import SqlWarehouse

BERLIN = "Europe/Berlin"
HOURS = {
    **{weekday: ("08:30", "17:00") for weekday in range(1, 6)},
    6: ("10:00", "14:00"),
    # open while the clock is changed
    7: ("00:30", "05:30"),
}
HOLIDAYS = (date(2024, 4, 1), date(2024, 10, 31), date(2024, 11, 2))
SPRING, AUTUMN = date(2024, 3, 31), date(2024, 10, 27)
AS_OF = date(2024, 11, 15)

Ticket = tuple[datetime, datetime | None, datetime | None]
"""When it was opened, answered and closed, in UTC."""


def _utc(text: str) -> datetime:
    return datetime.fromisoformat(text)


NAMED: dict[str, tuple[Ticket, float | None, float | None]] = {
    # name: (the ticket, business hours to the answer, to the end); Berlin is 1 h ahead, 2 in summer
    "over the spring change": (
        (_utc("2024-03-30 22:00"), _utc("2024-03-31 00:30"), _utc("2024-03-31 04:00")), 1.0, 4.0,
    ),
    "over the autumn change": (
        (_utc("2024-10-26 22:00"), _utc("2024-10-27 00:30"), _utc("2024-10-27 06:00")), 2.0, 6.0,
    ),
    "Friday to Tuesday over the change and a holiday": (
        (_utc("2024-03-29 15:00"), _utc("2024-03-30 11:00"), _utc("2024-04-02 07:30")),
        1.0 + 2.0, 1.0 + 4.0 + 4.0 + 1.0,
    ),
    "all on a holiday": (
        (_utc("2024-04-01 08:00"), _utc("2024-04-01 09:00"), _utc("2024-04-01 15:00")), 0.0, 0.0,
    ),
    "on a Saturday": (
        (_utc("2024-10-19 07:00"), _utc("2024-10-19 08:30"), _utc("2024-10-19 13:00")), 0.5, 4.0,
    ),
    "opened at night": (
        (_utc("2024-10-15 20:00"), _utc("2024-10-16 06:45"), _utc("2024-10-16 08:30")), 0.25, 2.0,
    ),
    "unanswered": ((_utc("2024-10-15 08:00"), None, None), None, None),
    "answered, not closed": ((_utc("2024-10-15 08:00"), _utc("2024-10-15 08:06"), None), 0.1, None),
}  # fmt: skip


def _random_tickets(count: int) -> list[Ticket]:
    rnd = random.Random(3)
    found: list[Ticket] = []
    for _ in range(count):
        middle = datetime.combine(rnd.choice([SPRING, AUTUMN]), datetime.min.time())
        opened, answered, closed = sorted(
            middle + timedelta(minutes=rnd.randint(-8 * 1440, 8 * 1440)) for _ in range(3)
        )
        found.append((opened, answered, closed))
    return found


def _events(tickets: dict[str, Ticket]) -> pd.DataFrame:
    rows = [
        {
            "number": number, "opened_at": moments[0], "sys_updated_at": moment,
            "sys_mod_count": step, "incident_state": state, "priority": "2",
        }
        for number, moments in tickets.items()
        for step, (state, moment) in enumerate(
            zip(("New", "Active", "Closed"), moments, strict=True)
        )
        if moment is not None
    ]  # fmt: skip
    return pd.DataFrame(rows)


@pytest.mark.parametrize(
    "zone",
    [BERLIN, pytest.param("America/New_York", marks=pytest.mark.slow)],
)
def test_business_hours_are_the_open_minutes(tmp_path: Path, zone: str):
    """Both changes of the clock, a holiday, a weekend, no answer, the night: minute by minute."""
    tickets = {str(n): moments for n, moments in enumerate(_random_tickets(400))}
    if zone == BERLIN:
        tickets |= {name: ticket for name, (ticket, _, _) in NAMED.items()}
    warehouse = SqlWarehouse(
        tmp_path, sources=("support_incidents",), time_zone=zone, settings={"as_of": AS_OF}
    )
    warehouse.fill("support_incidents__incident_events", _events(tickets))
    warehouse.dbt("seed")
    hours = [("standard", weekday, *clock) for weekday, clock in HOURS.items()]
    columns = ["calendar", "weekday", "opens", "closes"]
    warehouse.fill("business_hours", pd.DataFrame(hours, columns=columns), schema="seeds")
    closed = pd.DataFrame({"calendar": "standard", "date_on": list(HOLIDAYS), "name": "closed"})
    warehouse.fill("holidays", closed, schema="seeds")
    warehouse.dbt("run", "--select", "+fct_tickets")
    found = {
        row.number: row
        for row in warehouse.frame(
            "select substr(ticket_key, 19) as number, opened_at, first_response_business_hours "
            "as answer, resolution_business_hours as solution, is_sla_met from marts.fct_tickets"
        ).itertuples()
    }
    assert set(found) == set(tickets)
    minutes = Minutes(Desk(zone, HOURS, HOLIDAYS), date(2024, 3, 1), date(2024, 11, 30))
    for number, (opened, answered, solved) in tickets.items():
        row = found[number]
        for moment, measured in ((answered, row.answer), (solved, row.solution)):
            if moment is None:
                assert pd.isna(measured), number
            else:
                counted = minutes.between(opened, moment) / 60
                assert abs(measured - counted) < 0.0001, (number, measured, counted)
    if zone == BERLIN:
        for name, (_, to_answer, to_end) in NAMED.items():
            row = found[name]
            assert row.answer == to_answer or (to_answer is None and pd.isna(row.answer)), name
            assert row.solution == to_end or (to_end is None and pd.isna(row.solution)), name
        assert found["unanswered"].is_sla_met is False
    assert len({round(row.solution) for row in found.values() if pd.notna(row.solution)}) > 50


# The real log


@pytest.fixture(scope="module")
def incidents(shared_data, tmp_path_factory: pytest.TempPathFactory) -> tuple[SqlWarehouse, Path]:
    """The incident log as published, landed by its own sources file; every service mart."""
    path = shared_data("support_incidents/incident_event_log.csv.gz")
    home = tmp_path_factory.mktemp("incidents")
    warehouse = SqlWarehouse(
        home, sources=("support_incidents",), settings={"as_of": date(2017, 2, 18)}
    )
    inbox = home / "inbox" / "support_incidents"
    inbox.mkdir(parents=True)
    shutil.copy(path, inbox / path.name)
    (inbox / f"{path.name}.done").touch()
    with warehouse.connection() as db:
        # landing puts a view where the harness has put an empty table
        for table in db.execute(
            "select table_name from duckdb_tables() where schema_name = 'raw'"
        ).fetchall():
            db.execute(f"drop view if exists raw.{table[0]}__versions")
            db.execute(f"drop table raw.{table[0]}")
        report = land(
            db, home=home, contracts=sources_from_manifest(ensure_manifest()),
            enabled=("support_incidents",), time_zone="UTC",
            clock=lambda: datetime.fromisoformat("2026-01-01"),
        )  # fmt: skip
    [file] = report.files
    assert (file.rows_read, file.rows_accepted) == (141_712, 141_712)
    warehouse.run("+marts.service")
    return warehouse, path


def _log(path: Path) -> dict[str, list[dict[str, str]]]:
    """Ticket -> its updates in time order, read without any of our code."""
    with gzip.open(path, "rt") as file:
        lines = csv.reader(file)
        header = next(lines)
        header[header.index("category", header.index("category") + 1)] = "subcategory"
        rows = [dict(zip(header, line, strict=True)) for line in lines]
    tickets = defaultdict(list)
    for row in rows:
        tickets[row["number"]].append(row)
    for updates in tickets.values():
        updates.sort(key=lambda row: (_time(row["sys_updated_at"]), int(row["sys_mod_count"])))
    return tickets


def _time(text: str) -> datetime:
    return datetime.strptime(text, "%d/%m/%Y %H:%M")  # noqa: DTZ007


@pytest.mark.slow
def test_events_fold_to_tickets(incidents):
    warehouse, path = incidents
    log = _log(path)
    assert warehouse.value("select count(*) from staging.stg_support_incidents__ticket_events") == (
        141_712
    )
    assert warehouse.value("select count(*) from staging.stg_support_incidents__tickets") == 24_918
    assert warehouse.value("select count(*) from marts.fct_tickets") == len(log) == 24_918
    lost = "from staging.stg_support_incidents__ticket_events where ticket_state is null"
    assert warehouse.value(f"select count(*) {lost}") == 5
    last = Counter((rows[-1]["caller_id"], rows[-1]["subcategory"]) for rows in log.values())
    found = warehouse.frame(
        "select coalesce(substr(customer_key, 19), '?') as caller, coalesce(subcategory, '?') as "
        "service, count(*) as n from marts.fct_tickets group by all"
    )
    assert {(row.caller, row.service): row.n for row in found.itertuples()} == last


def _story(updates: list[dict[str, str]]) -> tuple[datetime, datetime, datetime, int, int]:
    """First answer, last resolution, closing, times it came back, states: told in plain Python."""
    opened = _time(updates[0]["opened_at"])
    answer = resolved = closed = None
    is_open, state, reopened, states = True, "", 0, 0
    for row in updates:
        now = max(_time(row["sys_updated_at"]), opened)
        if row["ident_state"] not in ("New", "-100") and answer is None:
            answer = now
        if row["ident_state"] != state:
            states, state = states + 1, row["ident_state"]
            if state == "Closed":
                closed = now
        is_done = is_open if state == "-100" else state not in ("Resolved", "Closed")
        if is_open and not is_done:
            resolved = now
        reopened += not is_open and is_done
        is_open = is_done
    assert answer is not None
    assert resolved is not None
    assert closed is not None
    return answer, resolved, closed, reopened, states


@pytest.mark.slow
def test_each_ticket_tells_the_story_of_its_updates(incidents):
    warehouse, path = incidents
    log = _log(path)
    found = warehouse.frame(
        "select substr(ticket_key, 19) as number, first_response_at, resolved_at, closed_at, "
        "reopened_count, state_count from marts.fct_tickets join (select ticket_key, count(*) as "
        "state_count from marts.fct_ticket_states group by all) using (ticket_key)"
    )
    stories = {
        row.number: (
            row.first_response_at.to_pydatetime(), row.resolved_at.to_pydatetime(),
            row.closed_at.to_pydatetime(), row.reopened_count, row.state_count,
        )
        for row in found.itertuples()
    }  # fmt: skip
    assert stories == {number: _story(updates) for number, updates in log.items()}
    # the log's own last word, which we do not read: a few were closed, then noted on once more
    said = {number: _time(rows[-1]["closed_at"]) for number, rows in log.items()}
    assert all(stories[number][2] <= closed for number, closed in said.items())
    assert sum(stories[number][2] != closed for number, closed in said.items()) < 80


@pytest.mark.slow
def test_the_backlog_is_who_is_open_at_the_end_of_the_day(incidents):
    warehouse, _ = incidents
    daily = warehouse.frame("select * from marts.service_daily order by date_on")
    states = warehouse.frame(
        "select entered_on, coalesce(left_on, date '2100-01-01') as left_on, is_open "
        "from marts.fct_ticket_states"
    )
    opened = warehouse.frame(
        "select opened_on, min(entered_on) as first_on from marts.fct_tickets "
        "join marts.fct_ticket_states using (ticket_key) group by ticket_key, opened_on"
    )
    for day in daily.iloc[[0, 1, 5, 40, 90, 200, len(daily) - 1]].itertuples():
        is_there = (states.entered_on <= day.date_on) & (states.left_on > day.date_on)
        is_new = (opened.opened_on <= day.date_on) & (opened.first_on > day.date_on)
        assert day.backlog_count == (is_there & states.is_open).sum() + is_new.sum()
    assert (daily.opened_count.sum(), daily.backlog_count.max() > 1000) == (24_918, True)


@pytest.mark.slow
def test_monthly_times_and_rates(incidents):
    warehouse, _ = incidents
    tickets = warehouse.frame("select * from marts.fct_tickets")
    monthly = warehouse.frame("select * from marts.service_monthly order by month")
    assert monthly.ticket_count.sum() == 24_918
    assert not monthly.is_complete.iloc[-1]
    month_of = tickets.opened_on.dt.to_period("M").dt.to_timestamp()
    for row in monthly.itertuples():
        theirs = tickets[month_of == row.month]
        if theirs.empty:
            assert pd.isna(row.sla_met_rate)
            assert pd.isna(row.p90_resolution_hours)
            continue
        judged = theirs.is_sla_met.dropna().astype(bool)
        assert (row.sla_judged_count, row.sla_met_rate) == (len(judged), judged.mean())
        interval = (row.sla_met_low_rate, row.sla_met_high_rate)
        assert interval == pytest.approx(wilson(judged.sum(), len(judged)), abs=1e-9)
        for measure in ("first_response_hours", "resolution_business_hours"):
            hours = theirs[measure].astype(float)
            assert float(getattr(row, f"mean_{measure}")) == pytest.approx(hours.mean(), abs=1e-4)
            for name, share in (("median", 50), ("p90", 90)):
                wanted = np.percentile(hours, share)
                assert float(getattr(row, f"{name}_{measure}")) == pytest.approx(wanted, abs=1e-3)
    assert pd.isna(monthly.complaint_rate).all()


@pytest.mark.slow
def test_contacts_and_the_timeline_hold_every_ticket_once(incidents):
    warehouse, _ = incidents
    contacts = "select sum(contact_count) from marts."
    assert warehouse.value(f"{contacts}service_contacts_monthly") == 24_918
    assert warehouse.value(f"{contacts}service_monthly") == 24_918
    known = warehouse.value("select count(*) from marts.fct_tickets where customer_key is not null")
    events = warehouse.frame(
        "select event, count(*) as n from marts.customer_timeline group by event"
    ).set_index("event")
    assert events.n["ticket_opened"] == events.n["ticket_answered"] == known == 24_915
    assert warehouse.value("select sum(ticket_count) from marts.customer_service") == known
    preferred = warehouse.frame("select distinct preferred_channel from marts.customer_service")
    assert "phone" in set(preferred.preferred_channel)
