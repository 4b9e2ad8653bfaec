"""Bad input: one clear message with thing and remedy, no stack trace, and what was published stays.

The many ways in which a line or a file can be wrong are landing's own tests; here is what a user
of the command sees, and what becomes of the publication.
"""

from __future__ import annotations

import gzip
import os
import shutil
import time
from datetime import date
from pathlib import Path

import pytest

from crm_pipeline.cli import main
from crm_pipeline.errors import UserError
from tests.pipeline.landed import LandedWarehouse
from tests.pipeline.support import crm, environment, publication, published, refused
from tests.pipeline.test_as_of import rest

HEADER = "order_no,customer_no,ordered_at,channel,delivery_instruction"


def put(home: Path, name: str, data: bytes | str, source: str = "demo") -> Path:
    """Deliver a complete file."""
    file = home / "inbox" / source / name
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(data.encode() if isinstance(data, str) else data)
    file.with_name(name + ".done").touch()
    return file


def one_line(text: str, *words: str) -> str:
    """Return the one line of ``text`` that holds all ``words``."""
    lines = [line for line in text.splitlines() if all(word in line for word in words)]
    assert len(lines) == 1, f"{words} in {len(lines)} lines of\n{text}"
    return lines[0]


def call(home: Path, patch: pytest.MonkeyPatch, *arguments: str, **settings: str) -> int:
    """Call the command in this process; an exception that it does not handle fails the test."""
    for name, value in environment(home, **settings).items():
        if name.startswith("CRM_"):
            patch.setenv(name, value)
    before = dict(os.environ)
    try:
        return main(arguments)
    except SystemExit as stop:
        return int(stop.code or 0)
    finally:
        # commands export settings for the tools that they call
        for name in os.environ.keys() - before.keys():
            del os.environ[name]
        os.environ.update(before)


@pytest.mark.parametrize(
    ("arguments", "settings", "said"),
    [
        (["run"], {"CRM_HORIZON_DAYS": "soon"}, ["CRM_HORIZON_DAYS='soon'", "unset it for 90"]),
        (["run"], {"CRM_SORCES": "demo"}, ["unknown setting CRM_SORCES", "known are CRM_"]),
        (["run"], {"CRM_TIMEZONE": "Berlin"}, ["CRM_TIMEZONE='Berlin'", "Europe/Berlin"]),
        (["run", "--as-of", "30.6.2026"], {}, ["--as-of='30.6.2026'", "write it as 2026-11-22"]),
        (["run", "--asof", "2026-06-30"], {}, ["unrecognized arguments: --asof"]),
        (["query", "select 1"], {}, ["nothing is published yet", "run `crm run`"]),
        (["status"], {}, ["nothing is published yet", "run `crm run`"]),
        (["status"], {"CRM_SOURCES": "shopp"}, ["CRM_SOURCES names shopp", "known are cdnow"]),
        (["retract", "orders.csv"], {}, ["'orders.csv' is not SOURCE/FILE"]),
        (["retract", "demo/orders.csv"], {}, ["orders.csv of source demo has not landed"]),
        (["retract", "shopp/orders.csv"], {}, ["no source shopp", "known are cdnow"]),
        (["source", "check", "/nowhere/orders.csv"], {}, ["/nowhere/orders.csv"]),
        (["source", "draft", "/nowhere/orders.csv"], {}, ["/nowhere/orders.csv"]),
        (["demo", "--customers", "0"], {}, ["customers"]),
        (["demo"], {"CRM_SOURCES": "cdnow"}, ["does not enable demo"]),
    ],
)
def test_a_users_mistake_is_one_line_and_exit_2(
    tmp_path, monkeypatch, capsys, arguments, settings, said
):
    assert call(tmp_path / "home", monkeypatch, *arguments, **settings) == 2
    line = one_line(capsys.readouterr().err, said[0])
    for words in said:
        assert words in line


@pytest.mark.parametrize(
    ("arguments", "sources", "said"),
    [
        (["run"], "demo,shopp", ["CRM_SOURCES names shopp", "known are cdnow"]),
        (["run", "--source", "cdnow"], "demo", ["cdnow is not enabled", "add it to CRM_SOURCES"]),
    ],
)
def test_a_source_that_is_unknown_or_not_enabled(tmp_path, arguments, sources, said):
    err = refused(crm(tmp_path / "home", *arguments, CRM_SOURCES=sources), code=2)
    one_line(err, *said)


@pytest.mark.parametrize("command", [["run"], ["demo"], ["retract", "demo/x.csv"]])
def test_a_home_that_cannot_be_written(tmp_path, monkeypatch, capsys, command):
    (tmp_path / "file").write_text("")
    home = tmp_path / "file" / "home"
    assert call(home, monkeypatch, *command) == 2
    one_line(
        capsys.readouterr().err, f"CRM_HOME={home} cannot be written", "set CRM_HOME to a folder"
    )


def test_a_dotenv_line_that_cannot_be_read(tmp_path, monkeypatch, capsys):
    (tmp_path / ".env").write_text("CRM_CURRENCY=EUR\nthis is no setting\n")
    monkeypatch.setattr("crm_pipeline.settings.CHECKOUT", tmp_path)
    assert main(["query", "select 1"]) == 2
    assert one_line(capsys.readouterr().err, ".env line 2 is not KEY=value")


def test_without_an_as_of_date_the_step_says_what_to_do(tmp_path):
    """What the step says; that a run says it in one line is asked by the two slow tests below."""
    warehouse = LandedWarehouse(tmp_path / "home")
    warehouse.land()
    with pytest.raises(UserError, match=r"no data has landed .*put files into inbox/demo/ .*demo"):
        warehouse.settle()
    put(warehouse.folder, "orders_2026-06.csv", f'{HEADER}\n"O1","K1","2026-06-01 10:00:00",,\n')
    warehouse.land()
    with pytest.raises(UserError, match=r"2001-01-01 lies before the first .* data, 2026-"):
        warehouse.settle(date(2001, 1, 1))
    assert warehouse.settle() == date(2026, 6, 1)


@pytest.mark.slow
def test_an_empty_inbox_with_nothing_landed(tmp_path):
    err = refused(crm(tmp_path / "home", "run"), code=1)
    one_line(err, "no data has landed", "put files into inbox/demo/", "crm demo")
    assert not (tmp_path / "home" / "published" / "crm.duckdb").exists()


@pytest.mark.slow
def test_an_as_of_before_the_first_event_keeps_the_publication(tiny_copy):
    before = publication(tiny_copy)
    err = refused(crm(tiny_copy, "run", "--as-of", "2001-01-01"), code=1)
    one_line(err, "as_of 2001-01-01 lies before the first event", "in the data, 2024-06")
    assert publication(tiny_copy) == before


@pytest.fixture(scope="module")
def after_bad_files(tiny_home, tmp_path_factory) -> tuple[Path, str]:
    """A copy of the tiny home after ``crm run`` with every kind of bad file; and what it said."""
    home = tmp_path_factory.mktemp("bad") / "home"
    shutil.copytree(tiny_home, home, symlinks=True)
    inbox = home / "inbox" / "demo"
    put(home, "orders_2027-01.csv", "order;customer\n1;2\n")
    bad_rows = "".join(f'"B{n}","K0000001","yesterday","web",\n' for n in range(50))
    put(home, "orders_2027-02.csv", f"{HEADER}\n{bad_rows}")
    whole = (inbox / "order_items_2025-12.csv.gz").read_bytes()
    put(home, "order_items_2027-01.csv.gz", whole[: len(whole) // 2])
    shuffled = "channel,ordered_at,order_no,delivery_instruction,customer_no"
    put(home, "orders_2027-03.csv", f'{shuffled}\n"web","2026-06-29 10:00:00","R1",,"K0000001"\n')
    put(home, "a.csv", "a\n1\n", source="nonsense")
    put(home, "notes.txt", "nothing")
    (inbox / "orders_2027-01.csv.done").unlink()
    os.utime(inbox / "orders_2027-01.csv", (time.time() - 60,) * 2)
    result = crm(home, "run")
    refused(result, code=1)
    return home, result.stdout + result.stderr


@pytest.mark.parametrize(
    "words",
    [
        [
            "orders_2027-01.csv: refused",
            "its header lacks order_no",
            "found one other, of the shape 'aaaaa;aaaaaaaa'",
            "under `header` and `delimiter`",
        ],
        [
            "orders_2027-02.csv: refused",
            "ordered_at looks retyped",
            "50 of 50 values of another type",
            "if the change is meant, say it there",
        ],
        ["order_items_2027-01.csv.gz: refused", "truncated"],
        ["inbox/nonsense/ belongs to no declared source", "known sources: cdnow"],
        ["inbox/demo/notes.txt was left alone", "matches no table's pattern", "rename it"],
        ["the last good publication stays", "Details: logs/run-"],
    ],
)
def test_each_bad_file_is_named_with_its_remedy(after_bad_files, words):
    _, said = after_bad_files
    lines = [line for line in said.splitlines() if words[0] in line]
    assert lines, said
    assert all(all(word in line for word in words) for line in lines)


def test_bad_files_keep_the_publication_and_let_the_others_land(after_bad_files, tiny_home):
    home, _ = after_bad_files
    assert publication(home) == publication(tiny_home)
    warehouse = LandedWarehouse(home)
    assert warehouse.value("select ordered_at::varchar from raw.demo__orders where order_no = 'R1'"
                           ) == "2026-06-29 08:00:00"  # fmt: skip
    landed = warehouse.frame("select file_name from control.current_files")["file_name"]
    assert "orders_2027-03.csv" in set(landed)
    assert not {n for n in landed if n.startswith(("orders_2027-01", "orders_2027-02"))}


def test_an_unclosed_quote_in_the_middle_of_a_large_file_costs_one_line(tmp_path):
    """Read as one quoted text, half of the file would be gone without a word."""
    lines = 100_000
    rows = [f'"O{n}","K1","2026-06-01 10:00:00","web",\n' for n in range(lines)]
    rows[lines // 2] = '"ODD","K1","2026-06-01 10:00:00","web,\n'
    warehouse = LandedWarehouse(tmp_path / "home")
    put(
        warehouse.folder,
        "orders_2026-06.csv.gz",
        gzip.compress(f"{HEADER}\n{''.join(rows)}".encode(), 1),
    )
    report = warehouse.land()
    assert report.is_ok
    [file] = report.files
    assert (file.rows_read, file.rows_accepted, file.rows_quarantined) == (lines, lines - 1, 1)
    held = warehouse.frame("select line_number, reason from control.quarantine")
    assert held.to_dict("records") == [{"line_number": lines // 2 + 2, "reason": "unclosed_quote"}]
    assert warehouse.value("select count(distinct order_no) from raw.demo__orders") == lines - 1


def test_a_file_that_is_still_being_written_is_left_alone(tmp_path):
    warehouse = LandedWarehouse(tmp_path / "home")
    inbox = warehouse.folder / "inbox" / "demo"
    inbox.mkdir()
    half = inbox / "orders_2026-05.csv"
    half.write_text(f"{HEADER}\n")
    whole = put(
        warehouse.folder, "orders_2026-06.csv", f'{HEADER}\n"O1","K1","2026-06-01 10:00:00",,\n'
    )
    report = warehouse.land()
    assert {f.file_name: f.outcome for f in report.files} == {
        whole.name: "landed",
        half.name: "waiting",
    }
    rest(inbox)
    with half.open("a") as file:
        file.write('"O2","K1","2026-05-01 10:00:00",,\n')
    half.with_name(half.name + ".done").touch()
    report = warehouse.land()
    assert {f.file_name: f.outcome for f in report.files} == {
        whole.name: "unchanged",
        half.name: "landed",
    }


def test_a_failed_blocking_check_keeps_the_publication_and_is_named(tiny_copy):
    """Many orders of nobody in particular: every line fits, the whole is implausible."""
    before = publication(tiny_copy)
    guests = "".join(f'"G{n}",,"2026-06-29 10:00:00","web",\n' for n in range(400))
    put(tiny_copy, "orders_2026-06_guests.csv", f"{HEADER}\n{guests}")
    result = crm(tiny_copy, "run")
    err = refused(result, code=1)
    line = one_line(err, "check raw/demo__orders: great_expectations failed")
    assert "customer_no" in line
    assert publication(tiny_copy) == before
    assert "published__crm_duckdb" not in result.stdout
    status = crm(tiny_copy, "status", "--json")
    assert '"healthy"' in status.stdout


@pytest.mark.slow
def test_an_unclosed_quote_in_a_million_lines(tmp_path):
    lines = 1_000_000
    warehouse = LandedWarehouse(tmp_path / "home")
    rows = [f'"O{n}","K1","2026-06-01 10:00:00","web",\n' for n in range(lines)]
    rows[lines // 2] = '"ODD","K1","2026-06-01 10:00:00","web,\n'
    put(warehouse.folder, "orders_2026-06.csv", f"{HEADER}\n{''.join(rows)}")
    [file] = warehouse.land().files
    assert (file.rows_read, file.rows_quarantined) == (lines, 1)


@pytest.mark.slow
def test_after_the_bad_files_are_gone_the_next_run_publishes(after_bad_files, tmp_path):
    home = tmp_path / "home"
    shutil.copytree(after_bad_files[0], home, symlinks=True)
    for name in ("orders_2027-01.csv", "orders_2027-02.csv", "order_items_2027-01.csv.gz"):
        (home / "inbox" / "demo" / name).unlink()
    result = crm(home, "run")
    assert result.returncode == 0, result.stdout + result.stderr
    with published(home) as db:
        found = db.execute("select count(*) from marts.fct_orders where order_key = 'demo:R1'")
        assert found.fetchone() == (1,)
