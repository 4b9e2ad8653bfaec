"""History by table, on files that really landed: usual days pass, unusual ones are found, and how
the files came to be there makes no difference."""

from __future__ import annotations

import itertools
from datetime import date, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest

from crm_pipeline.defs.quality.history import comparable, judge_tables, volume_bound
from crm_pipeline.defs.quality.learned import Bound
from crm_pipeline.defs.quality.profiles import Unit, day_counts, update_days
from tests.unit.landing_support import Company, contracts_of

SHOP = """
sources:
  - name: shop
    tables:
      - name: sales
        config: {meta: {files: ["sales*"], event_time: sold_at, key: [id]}}
        columns:
          - {name: id, data_type: bigint}
          - {name: sold_at, data_type: timestamp, config: {meta: {required: true}}}
          - {name: channel, data_type: varchar}
          - {name: price, data_type: "decimal(10,2)"}
          - {name: note, data_type: varchar, config: {meta: {pii: pseudonymous}}}
      - name: stores
        config: {meta: {files: ["stores*"]}}
        columns:
          - {name: store, data_type: varchar}
          - {name: size, data_type: bigint}
"""
FIRST = date(2026, 3, 2)
NOW = datetime.fromisoformat("2026-07-01 00:00:00")


def sales(day: date, rows: int, *, seed: int, web: float = 0.7, times: float = 1.0) -> list[str]:
    random = np.random.default_rng(seed)
    return [
        f"{day.toordinal() * 10_000 + n},{day} 10:00:00,"
        f"{'web' if random.random() < web else 'shop'},{times * random.lognormal(3, 1):.2f},"
        f"{'' if random.random() < 0.5 else f'person {n}'}"
        for n in range(rows)
    ]


def file_of(lines: list[str]) -> str:
    return "\n".join(["id,sold_at,channel,price,note", *lines]) + "\n"


def daily(days: int, rows: int = 200, **last: float) -> dict[str, list[str]]:
    """File name -> lines, one file a day; ``last`` is how the last differs."""
    random = np.random.default_rng(1)
    files = {}
    for n in range(days):
        day = FIRST + timedelta(days=n)
        differs = dict(last) if n == days - 1 else {}
        count = int(differs.pop("last_rows", random.poisson(rows)))
        files[f"sales_{day}.csv"] = sales(day, count, seed=n, **differs)
    return files


@pytest.fixture
def company(tmp_path: Path) -> Company:
    return Company(tmp_path, contracts_of(SHOP), in_memory=True)


def land(company: Company, files: dict[str, list[str]]) -> None:
    for name, lines in files.items():
        company.put(name, file_of(lines))
    company.land()


def judge(company: Company, table: str = "sales", now: datetime = NOW) -> dict[str, Bound]:
    tables = company.contracts["shop"].tables
    judged = judge_tables(company.con, tables, published={}, now=now)
    [bounds] = [found for contract, found in judged.items() if contract.name == table]
    return {":".join(filter(None, (b.measure, b.column))): b for b in bounds}


def unusual(company: Company, table: str = "sales") -> set[str]:
    return {name for name, bound in judge(company, table).items() if not bound.is_within}


def test_forty_usual_days_pass_and_nearly_all_is_judged(company):
    land(company, daily(40))
    bounds = judge(company)
    assert unusual(company) == set()
    too_little = {name for name, bound in bounds.items() if not bound.is_judged}
    assert too_little == {"landing_age_days"}
    assert set(bounds) >= {
        "rows_per_day", "event_age_days", "null_rate:channel", "category_shift:channel",
        "p10:price", "p50:price", "p90:price", "distinct_share:price", "null_rate:note",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("change", "found"),
    [
        ({"last_rows": 100}, {"rows_per_day"}),
        ({"web": 0.2}, {"category_shift:channel"}),
        ({"times": 3.0}, {"p10:price", "p50:price", "p90:price"}),
    ],
    ids=lambda value: min(value),
)
def test_an_unusual_last_day_is_found_and_nothing_else(company, change, found):
    land(company, daily(40, **change))
    assert unusual(company) == found


def test_a_personal_column_gives_its_share_of_nulls_and_nothing_more(company):
    land(company, daily(40))
    assert {name for name in judge(company) if name.endswith(":note")} == {"null_rate:note"}
    stored = company.con.execute(
        "select distinct distinct_count, quantiles, categories from control.content_profiles "
        "where column_name = 'note'"
    ).fetchall()
    assert stored == [(None, None, None)]
    values = company.con.execute(
        "select distinct unnest(map_keys(categories)) from control.content_profiles"
    ).fetchall()
    assert len(values) == 2
    assert not {"web", "shop"} & {value for (value,) in values}


def test_a_dozen_days_are_too_little_for_days_and_enough_for_shares(company):
    land(company, daily(12, rows=20))
    bounds = judge(company)
    assert unusual(company) == set()
    assert not any(name in bounds for name in ("null_rate:channel", "category_shift:channel"))
    assert not next(b for name, b in bounds.items() if name.startswith("rows_per")).is_judged


def test_eight_units_before_the_newest_are_enough_and_seven_are_not(company):
    files = daily(9)
    land(company, {name: files[name] for name in sorted(files)[:8]})
    assert str(judge(company)["distribution"]) == "distribution: too little history (7 of 8)"
    land(company, {name: files[name] for name in sorted(files)[8:]})
    assert judge(company)["null_rate:channel"].is_judged


def test_how_the_files_landed_makes_no_difference(tmp_path):
    files = daily(11)
    order = [*reversed(files), "sales_late.csv"]
    files["sales_late.csv"] = sales(FIRST, 3, seed=99)
    results = []
    for number, batches in enumerate(([list(files)], [[name] for name in order])):
        home = tmp_path / str(number)
        company = Company(home, contracts_of(SHOP), in_memory=True)
        for batch in batches:
            land(company, {name: files[name] for name in batch})
            judge(company)
        results.append({n: b for n, b in judge(company).items() if n != "landing_age_days"})
    assert results[0] == results[1]


def test_each_content_is_read_once_and_what_is_not_compared_is_forgotten(company):
    land(company, daily(45))
    judge(company)
    company.con.execute("update control.content_profiles set rows_read = 12345")
    known = "select count(distinct digest) from control.content_profiles where rows_read {} 12345"
    company.put("sales_more.csv", file_of(sales(FIRST + timedelta(days=45), 200, seed=7)))
    company.land()
    judge(company)
    kept, read = (company.con.execute(known.format(sign)).fetchone() for sign in ("=", "<>"))
    assert (kept, read) == ((40,), (1,))


def test_a_nightly_export_of_everything_counts_each_day_once(company):
    files, everything = daily(30), []
    for name, lines in files.items():
        everything += lines
        company.put(name, file_of(everything))
    company.land()
    [contract] = [t for t in company.contracts["shop"].tables if t.name == "sales"]
    judge(company)
    counts = day_counts(company.con, contract)
    assert list(counts.values()) == [len(lines) for lines in files.values()]
    assert unusual(company) == set()


def test_a_corrected_file_replaces_what_was_known_of_it(company):
    files = daily(40, rows=100)
    files[max(files)] = files[max(files)][:100]
    land(company, files)
    usual = daily(40)
    land(company, {name: usual[name] for name in sorted(files)[-1:]})
    assert judge(company)["rows_per_day"].observed == len(usual[max(files)])


def test_days_of_a_content_that_went_are_kept_while_it_is_published(company):
    land(company, daily(2))
    tables = company.contracts["shop"].tables
    judge_tables(company.con, tables, published={}, now=NOW)
    contract = next(table for table in tables if table.name == "sales")
    digests = "select distinct digest from control.content_days order by all"
    [(one,), (other,)] = company.con.execute(digests).fetchall()
    gone = company.con.execute(
        "select file_name from control.current_contents where digest = ?", [one]
    ).fetchone()
    company.retract(gone[0])
    update_days(company.con, contract, [one])
    assert len(company.con.execute(digests).fetchall()) == 2
    update_days(company.con, contract, [])
    assert company.con.execute(digests).fetchall() == [(other,)]


def test_a_table_without_event_time_is_compared_file_by_file(company):
    for n in range(12):
        rows = [f"s{k},{k % 7}" for k in range(500 if n < 11 else 100)]
        company.put(f"stores_{n:02d}.csv", "store,size\n" + "\n".join(rows) + f"\nx{n},1\n")
    company.land()
    assert unusual(company, "stores") == {"rows_per_file"}


# --- freshness ---------------------------------------------------------------------------------


def test_a_table_that_stops_while_another_goes_on_is_late(tmp_path):
    document = SHOP.replace('{files: ["stores*"]}', '{files: ["stores*"], event_time: stocked_on}')
    document += "          - {name: stocked_on, data_type: date}\n"
    company = Company(tmp_path, contracts_of(document), in_memory=True)
    land(company, daily(30))
    for n in range(27):
        on = FIRST + timedelta(days=n)
        company.put(f"stores_{n:02d}.csv", f"store,size,stocked_on\na,{n},{on}\n")
    company.land()
    late = judge(company, "stores")["event_age_days"]
    assert (late.observed, late.upper, late.is_within) == (3, 1.5, False)
    assert judge(company)["event_age_days"].is_within


def test_only_the_age_of_the_last_landing_knows_the_clock(company):
    for n, (name, lines) in enumerate(daily(12).items()):
        company.now = datetime.fromisoformat("2026-05-01 06:00:00") + timedelta(days=n)
        land(company, {name: lines})
    soon, later = (company.now + timedelta(days=days) for days in (1.2, 3))
    assert judge(company, now=soon)["landing_age_days"].is_within
    assert not judge(company, now=later)["landing_age_days"].is_within
    others = [
        {name: bound for name, bound in judge(company, now=now).items() if "landing" not in name}
        for now in (soon, later)
    ]
    assert others[0] == others[1]


# --- volume: which days, and days, weeks or months ------------------------------------------------


def series(days: int, rows: int, seed: int = 3) -> dict[date, int]:
    counts = np.random.default_rng(seed).poisson(rows, days)
    return {FIRST + timedelta(days=n): int(c) for n, c in enumerate(counts)}


@pytest.mark.parametrize(("rows", "unit"), [(200, "day"), (40, "week"), (8, "month")])
def test_the_shortest_period_with_rows_enough_is_watched(rows, unit):
    counts = series(400, rows)
    last = max(counts)
    bound = volume_bound(counts, last - timedelta(days=30))
    assert bound.measure == f"rows_per_{unit}"
    assert bound.is_judged
    assert bound.is_within


def test_the_last_day_of_a_longer_delivery_is_not_judged_and_that_of_a_day_file_is():
    counts = series(100, 200)
    last = max(counts)
    counts[last] = 90
    assert volume_bound(counts, last - timedelta(days=6)).is_within
    assert not volume_bound(counts, last).is_within
    counts[last - timedelta(days=3)] = 0
    found = volume_bound(counts, last - timedelta(days=6))
    assert (found.observed, found.is_within) == (0, False)


def test_a_month_that_has_not_ended_is_not_judged():
    counts = {day: rows for day, rows in series(400, 8).items() if day < date(2027, 3, 15)}
    assert volume_bound(counts, date(2027, 3, 1)).is_within
    halved = {day: rows // 4 if day >= date(2027, 2, 1) else rows for day, rows in counts.items()}
    assert not volume_bound(halved, date(2027, 3, 1)).is_within


# --- which units stand for rows of their own -----------------------------------------------------


def unit(name: str, first: int, last: int, rows: int = 500) -> Unit:
    days = [date(2026, 3, first), date(2026, 3, last)]
    return Unit(name, date(2026, 3, 1), name, *days, days[1], rows)


def test_overlapping_contents_leave_the_latest_and_parts_of_one_delivery_all_stay():
    nightly = [unit(f"n{day}", 1, day) for day in range(2, 6)]
    assert [u.digest for u in comparable(nightly)] == ["n5"]
    daily_ones = [unit(f"d{day}", day, day) for day in range(2, 6)]
    parts = [unit("part1", 6, 9), unit("part2", 6, 9)]
    for order in itertools.permutations(daily_ones):
        kept = [u.digest for u in comparable([*parts, *order])]
        assert kept[:4] == ["d2", "d3", "d4", "d5"]
        assert set(kept[4:]) == {"part1", "part2"}
    assert comparable([unit("small", 1, 1, rows=20)]) == []
