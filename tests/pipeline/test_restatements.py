"""Which published figures changed, and why: late, corrected and retracted files; killed and rolled
back publications; the same data again.
"""

from __future__ import annotations

from datetime import date
from pathlib import Path

import pytest

from crm_pipeline.defs.publication import assets as publication_assets
from crm_pipeline.defs.publication.records import publications
from tests.pipeline.days import Days, items, orders
from tests.pipeline.replayed import ReplayedDays

MONTHS = ("01", "02", "03", "04")
LATE = "demo/orders/orders_late.csv (landed); demo/order_items/order_items_late.csv (landed)"


def _month(month: str) -> tuple[str, str]:
    """Ten customers who each order once in the month."""
    at = f"2025-{month}-10 12:00:00"
    numbers = [f"A{month}{n:02d}" for n in range(10)]
    return (
        orders(*[(no, f"K{n}", at) for n, no in enumerate(numbers)]),
        items(*[(no, at, 10.0) for no in numbers]),
    )


@pytest.fixture(scope="module", params=[ReplayedDays, pytest.param(Days, marks=pytest.mark.slow)])
def first_day(request, tmp_path_factory: pytest.TempPathFactory) -> Days:
    """Four months, published; the last of them is cut by the as-of date."""
    days = request.param(tmp_path_factory.mktemp("first"))
    for month in MONTHS:
        headers, lines = _month(month)
        days.put(f"orders_{month}.csv", headers)
        days.put(f"order_items_{month}.csv", lines)
    assert days.day("first") == 0
    return days


@pytest.fixture
def days(first_day: Days, tmp_path: Path) -> Days:
    twin = first_day.twin(tmp_path / "home")
    twin.marts_only = True
    return twin


def _late(days: Days, at: str = "2025-02-20 12:00:00") -> None:
    days.put("orders_late.csv", orders(("A9999", "K3", at)))
    days.put("order_items_late.csv", items(("A9999", at, 7.5)))


def _restated(days: Days, columns: str = "metric, month::varchar, old_value, new_value") -> list:
    return days.read(f"select {columns} from meta.restatements order by all")


def _kpis(days: Days) -> dict[str, tuple]:
    return {
        str(row[0]): row[1:]
        for row in days.read(
            "select month, order_count, active_customers, new_customers, returning_customers, "
            "gross_amount, returned_amount, net_amount from marts.kpi_monthly"
        )
    }


def test_the_same_data_restates_nothing(days):
    before = days.digests()
    assert days.day("second") == 0
    assert _restated(days) == []
    assert days.digests() == before
    assert [row[0] for row in days.read("select publication from meta.publications")] == [1, 2]


def test_a_late_order_reopens_its_own_month_alone(days):
    before = _kpis(days)
    _late(days)
    assert days.day("late") > 0
    after = _kpis(days)
    assert {month for month in before if before[month] != after[month]} == {"2025-02-01"}
    assert ("gross_amount", "2025-02-01", 100.0, 107.5) in _restated(days)
    assert ("order_count", "2025-02-01", 10.0, 11.0) in _restated(days)
    others = [row for row in _restated(days) if row[1] != "2025-02-01"]
    assert all(metric.endswith("_rate") for metric, *_ in others), others
    causes = _restated(days, "distinct run_id, files, reason, as_of_before, as_of_after")
    assert len(causes) == 1
    run_id, files, reason, before_on, after_on = causes[0]
    assert (run_id, set(files.split("; ")), reason) == ("late", set(LATE.split("; ")), "data")
    assert before_on == after_on


@pytest.mark.slow
def test_a_new_month_and_the_one_that_was_not_over_are_no_restatements(days):
    headers, lines = _month("05")
    days.put("orders_05.csv", headers)
    days.put("order_items_05.csv", lines)
    april = "2025-04-28 12:00:00"
    days.put("orders_04b.csv", orders(("A9998", "K1", april)))
    days.put("order_items_04b.csv", items(("A9998", april, 5.0)))
    assert days.day() == 0
    assert _kpis(days)["2025-04-01"][0] == 11


def test_a_corrected_file_names_the_months_whose_rows_changed_and_no_other(days):
    """The correction repeats February's file and adds a line: its other rows restate nothing."""
    at = "2025-02-10 12:00:00"
    days.put("order_items_02.csv", items(*[(f"A02{n:02d}", at, 10.0) for n in range(9)],
                                         ("A0209", at, 4.0)))  # fmt: skip
    days.put("order_items_03.csv", _month("03")[1] + "\n")
    days.day()
    assert ("gross_amount", "2025-02-01", 100.0, 94.0) in _restated(days)
    assert {row[0] for row in _restated(days, "files")} == {
        "demo/order_items/order_items_02.csv (corrected)"
    }


@pytest.mark.slow
def test_a_file_of_many_months_is_named_for_those_that_its_correction_changed(days):
    february, march = "2025-02-11 12:00:00", "2025-03-11 12:00:00"
    days.put("orders_wide.csv", orders(("A7001", "K1", february), ("A7002", "K1", march)))
    days.put("order_items_wide.csv", items(("A7001", february, 1.0), ("A7002", march, 2.0)))
    days.day("before")
    days.put("order_items_wide.csv", items(("A7001", february, 1.5), ("A7002", march, 2.0)))
    _late(days, "2025-03-20 12:00:00")
    days.day("after")
    causes = dict(
        days.read(
            "select month::varchar, files from meta.restatements "
            "where run_id = 'after' and metric = 'gross_amount'"
        )
    )
    assert causes["2025-02-01"] == "demo/order_items/order_items_wide.csv (corrected)"
    assert "wide" not in causes["2025-03-01"]


@pytest.mark.slow
def test_a_retracted_file_takes_its_figures_back_with_its_name(days):
    _late(days)
    days.day()
    listed = len(_restated(days))
    days.retract("orders_late.csv")
    days.retract("order_items_late.csv")
    assert days.day() == listed
    assert ("gross_amount", "2025-02-01", 107.5, 100.0) in _restated(days)
    assert "(retracted)" in _restated(days, "files")[0][0] + _restated(days, "files")[-1][0]


@pytest.mark.slow
def test_a_month_before_all_others_appears_and_goes_again(days):
    at = "2024-12-10 12:00:00"
    days.put("orders_00.csv", orders(("A0001", "K77", at)))
    days.put("order_items_00.csv", items(("A0001", at, 3.0)))
    days.day()
    assert ("gross_amount", "2024-12-01", None, 3.0) in _restated(days)
    days.retract("orders_00.csv")
    days.retract("order_items_00.csv")
    days.day()
    assert ("gross_amount", "2024-12-01", 3.0, None) in _restated(days)
    listed = len(_restated(days))
    assert days.day() == 0
    assert len(_restated(days)) == listed


@pytest.mark.slow
def test_settings_are_a_reason_of_their_own(days):
    """An order of the last night of January, which is February at the other end of the world."""
    at = "2025-01-31 23:30:00"
    days.put("orders_night.csv", orders(("A8888", "K5", at)))
    days.put("order_items_night.csv", items(("A8888", at, 1.0)))
    days.day()
    days.time_zone = "Pacific/Auckland"
    assert days.day("elsewhere") > 0
    causes = days.read(
        "select distinct files, reason from meta.restatements where run_id = 'elsewhere'"
    )
    assert causes == [("", "settings")]
    moved = (
        "select old_value, new_value from meta.restatements "
        "where run_id = 'elsewhere' and metric = 'order_count'"
    )
    assert sorted(days.read(moved)) == [(10.0, 11.0), (11.0, 10.0)]


@pytest.mark.slow
def test_an_as_of_date_in_the_past_hides_no_later_restatement(days):
    """Compared is with what was last published of the month, not with the last publication."""
    assert days.day(as_of=date(2025, 3, 15)) == 0
    _late(days, "2025-03-20 12:00:00")
    days.day()
    march = [row for row in _restated(days) if row[:2] == ("gross_amount", "2025-03-01")]
    assert march == [("gross_amount", "2025-03-01", 100.0, 107.5)]


@pytest.mark.slow
def test_a_run_killed_before_the_swap_loses_no_restatement_and_doubles_none(days, monkeypatch):
    _late(days)
    with monkeypatch.context() as patch:
        patch.setattr(publication_assets, "publish", _die)
        with pytest.raises(_Killed):
            days.day("killed")
    assert _restated(days) == []
    listed = days.publish("again")
    assert listed > 0
    assert {row[0] for row in _restated(days, "run_id")} == {"again"}
    assert len(_restated(days)) == listed
    assert days.publish("third") == 0
    assert len(_restated(days)) == listed


@pytest.mark.slow
def test_a_run_killed_after_the_swap_is_learned_from_the_published_file(days, monkeypatch):
    _late(days)
    real = publication_assets.publish
    with monkeypatch.context() as patch:
        patch.setattr(publication_assets, "publish", lambda *a: (real(*a), _die()))
        with pytest.raises(_Killed):
            days.day("killed")
    listed = len(_restated(days))
    assert listed > 0
    assert days.publish("again") == 0
    assert len(_restated(days)) == listed
    with days.connection() as db:
        assert [(p.publication, p.run_id) for p in publications(db)] == [
            (1, "first"), (2, "killed"), (3, "again"),
        ]  # fmt: skip


@pytest.mark.slow
def test_a_publication_that_was_rolled_back_keeps_its_number_and_its_restatements(days):
    _late(days)
    days.day("late")
    listed = len(_restated(days))
    link = days.folder / "published" / ".current"
    link.unlink()
    link.symlink_to(".versions/000001")
    assert _restated(days) == []
    assert days.publish("again") == 0
    assert len(_restated(days)) == listed
    assert [row[0] for row in days.read("select publication from meta.publications")] == [1, 2, 3]


@pytest.mark.slow
def test_a_lost_warehouse_learns_its_past_from_the_published_file(days):
    _late(days)
    days.day("late")
    listed = len(_restated(days))
    days.path.unlink()
    days.has_scores = False
    _headers, lines = _month("03")
    days.put("order_items_03.csv", lines.replace("10.00,1.00,10.00", "11.00,1.00,11.00", 1))
    assert days.day("rebuilt") > 0
    assert _restated(days, "distinct run_id") == [("late",), ("rebuilt",)]
    assert len(_restated(days)) > listed


class _Killed(Exception):
    pass


def _die(*_arguments: object) -> None:
    raise _Killed
