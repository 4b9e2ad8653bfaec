"""Whatever the order of versions, copies and retractions: what counts equals a plain model."""

from __future__ import annotations

import gzip
import tempfile
from collections.abc import Iterable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from crm_pipeline.defs.landing.retention import move_superseded
from tests.unit.landing_support import Company, shop

COLUMNS = """
- {name: id, data_type: bigint}
- {name: version, data_type: bigint}
- {name: name, data_type: varchar}
"""
NAMES = ("orders_a.csv", "orders_b.csv", "orders_c.csv.gz")

row = st.tuples(
    st.integers(1, 3), st.one_of(st.none(), st.integers(1, 2)), st.sampled_from(["x", "y"])
)
content = st.lists(row, min_size=0, max_size=4).map(tuple)
contents = st.lists(content, min_size=1, max_size=3)
delivery = st.tuples(st.just("put"), st.sampled_from(NAMES), st.integers(0, 2), st.booleans())
event = st.one_of(
    delivery,
    delivery,
    st.tuples(st.just("remove"), st.sampled_from(NAMES)),
    st.tuples(st.just("retract"), st.sampled_from(NAMES)),
    st.tuples(st.just("land")),
)


def text_of(rows: Iterable[tuple[int, int | None, str]], crlf: bool) -> bytes:
    lines = ["id,version,name"]
    lines += [f"{key},{'' if version is None else version},{name}" for key, version, name in rows]
    end = "\r\n" if crlf else "\n"
    return (end.join(lines) + end).encode()


def expected(current: dict[str, tuple], is_keyed: bool) -> list[tuple]:
    """The rows that count, computed without SQL from the newest content of each name."""
    holders: dict[tuple, str] = {}
    for name, rows in current.items():
        holders[rows] = max(name, holders.get(rows, ""))
    every = [
        (*values, name, line)
        for rows, name in holders.items()
        for line, values in enumerate(rows, start=2)
    ]
    if is_keyed:
        winners: dict[int, tuple] = {}
        for one in every:
            order = (-1 if one[1] is None else one[1], one[3], one[4])
            other = winners.get(one[0])
            if other is None or order > (-1 if other[1] is None else other[1], other[3], other[4]):
                winners[one[0]] = one
        every = list(winners.values())
    return sorted(every, key=repr)


@pytest.mark.parametrize("is_keyed", [False, True], ids=["no key", "key"])
@settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(texts=contents, events=st.lists(event, max_size=10))
def test_what_counts_equals_a_plain_model(tmp_path, is_keyed, texts, events):
    rules = {"key": ["id"], "version": "version"} if is_keyed else {}
    with tempfile.TemporaryDirectory(dir=tmp_path) as home:
        company = Company(Path(home), shop(COLUMNS, **rules), in_memory=True)
        company.land()
        inbox: dict[str, tuple] = {}
        landed: dict[str, tuple] = {}
        delivered: set[str] = set()
        for one in [*events, ("land",)]:
            if one[0] == "put":
                _, name, number, crlf = one
                rows = texts[number % len(texts)]
                data = text_of(rows, crlf)
                company.put(name, gzip.compress(data, mtime=0) if name.endswith("gz") else data)
                inbox[name] = rows
                delivered.add(name)
            elif one[0] == "remove" and one[1] in inbox:
                company.remove(one[1])
                del inbox[one[1]]
            elif one[0] == "retract" and one[1] in landed:
                company.retract(one[1])
                # The same content that still waited is retracted with it, another is not.
                if inbox.get(one[1]) == landed.pop(one[1]):
                    delivered.discard(one[1])
            elif one[0] == "land":
                assert company.land().is_ok
                landed |= {name: rows for name, rows in inbox.items() if name in delivered}
                delivered.clear()
        got = company.rows("id, version, name, _file, _line")
        assert sorted(got, key=repr) == expected(landed, is_keyed)
        # as a completed build does
        table = company.contracts["shop"].tables[0]
        move_superseded(company.con, [table], keep_days=400, now=company.clock())
        stored = company.con.execute(
            "select (select count(*) from landing.shop__orders), "
            "(select coalesce(sum(rows_accepted), 0) from control.contents)"
        ).fetchone()
        assert stored == (sum(len(rows) for rows in set(landed.values())),) * 2
        company.con.close()


def test_the_order_of_different_files_does_not_matter(tmp_path):
    seen = set()
    names = ["orders_a.csv", "orders_b.csv", "orders_c.csv"]
    for order in ([0, 1, 2], [2, 1, 0], [1, 2, 0]):
        home = tmp_path / "".join(map(str, order))
        home.mkdir()
        company = Company(home, shop(COLUMNS, key=["id"], version="version"))
        for position in order:
            rows = [(1, 1, names[position]), (2, position, "x"), (3, None, "y")]
            company.put(names[position], text_of(rows, False))
            company.land()
        seen.add(str(company.rows()))
    assert len(seen) == 1


def test_a_retracted_file_stays_away_in_the_bytes_of_another(tmp_path):
    """Delivered again, before its retraction, with other line ends: those that another has."""
    company = Company(tmp_path, shop(COLUMNS), in_memory=True)
    rows = ((1, None, "x"),)
    company.put("orders_a.csv", text_of(rows, True))
    company.put("orders_b.csv", text_of(rows, False))
    company.land()
    company.put("orders_b.csv", text_of(rows, True))
    company.retract("orders_b.csv")
    company.land()
    assert company.rows("_file") == [("orders_a.csv",)]
