"""``docs/analysts.md``, followed: its blocks are run, what it says of other tools is looked up.

To the letter where the tool is here; of R and the DuckDB command line, where they are not, the SQL
and the files that they name.
"""

from __future__ import annotations

import importlib.util
import os
import re
import shlex
import shutil
import subprocess
from pathlib import Path

import duckdb
import pytest

from crm_pipeline.settings import CHECKOUT
from tests.pipeline.support import BIN, environment
from tests.pipeline.test_bad_input import call

GUIDE = (CHECKOUT / "docs" / "analysts.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```(\w+)\n(.*?)^```$", GUIDE, re.MULTILINE | re.DOTALL)
_STATEMENT = re.compile(r'"(?P<sql>(?:select|from)\b[^"]*)"', re.IGNORECASE)
_FILE = re.compile(r"\b(crm\.duckdb|parquet/\w+/\w+\.parquet)\b")


def blocks(language: str) -> list[str]:
    return [text for name, text in BLOCKS if name == language]


def lines_of(command: str) -> list[list[str]]:
    """Each call of a command in the bash blocks, as words, without pipes and redirections."""
    found = []
    for block in blocks("bash"):
        for line in block.splitlines():
            words = shlex.split(line, comments=True)
            if words and words[0] == command:
                ends = [words.index(sign) for sign in (">", "|") if sign in words]
                found.append(words[1 : min(ends, default=len(words))])
    return found


@pytest.fixture
def folder(tiny_home: Path, tmp_path: Path, monkeypatch) -> Path:
    """Where the guide says one is, but not the home itself: exports are written there."""
    for name in ("crm.duckdb", "parquet"):
        (tmp_path / name).symlink_to((tiny_home / "published" / name).resolve())
    monkeypatch.chdir(tmp_path)
    return tmp_path


def asked(sql: str) -> list[tuple]:
    with duckdb.connect("crm.duckdb", read_only=True) as db:
        return db.execute(sql).fetchall()


def test_the_guide_has_what_it_promises():
    assert {name for name, _ in BLOCKS} == {"bash", "sql", "python", "r", "ini"}
    for tool in ("Excel", "Power BI", "Tableau", "Superset", "Metabase", "read_only", "as-of",
                 "meta.dictionary", "token", "known_at", "parquet/"):  # fmt: skip
        assert tool in GUIDE, tool


@pytest.mark.parametrize("sql", blocks("sql"), ids=lambda sql: sql.split("\n")[0][:40])
def test_an_sql_block_runs(folder, sql):
    """As somebody types it who has opened the file, or attached it."""
    opened = {"database": "crm.duckdb", "read_only": True}
    with duckdb.connect(**({} if "attach " in sql else opened)) as db:
        for statement in db.extract_statements(sql):
            db.execute(statement).fetchall()


@pytest.mark.parametrize("text", blocks("python"), ids=lambda text: text.split("\n")[0])
def test_a_python_block_runs_to_the_letter(folder, text, capsys):
    imported = re.findall(r"^import (\w+)", text, re.MULTILINE)
    missing = [name for name in imported if importlib.util.find_spec(name) is None]
    if missing:
        assert all((folder / name).exists() for name in _FILE.findall(text))
        pytest.skip(f"{missing[0]} is not installed here; the files it reads are there")
    exec(compile(text, "docs/analysts.md", "exec"), {})
    assert capsys.readouterr().out


@pytest.mark.parametrize("text", blocks("r"))
def test_what_an_r_block_names_is_there(folder, text):
    statements = _STATEMENT.findall(text)
    assert statements
    assert [sql for sql in statements if not asked(sql)] == []
    files = _FILE.findall(text)
    assert len(files) == 2
    assert all((folder / name).exists() for name in files)
    if shutil.which("Rscript"):
        subprocess.run(["Rscript", "-e", text], check=True, capture_output=True, timeout=120)


def test_what_the_duckdb_command_line_is_asked_has_an_answer(folder):
    calls = lines_of("duckdb")
    assert len(calls) == 2
    for words in calls:
        assert "-readonly" in words
        assert "crm.duckdb" in words
        assert asked(words[-1])


@pytest.mark.parametrize("words", lines_of("crm"), ids=" ".join)
def test_a_crm_command_does_what_it_says(folder, tiny_home, monkeypatch, capsys, words):
    assert call(tiny_home, monkeypatch, *words) == 0
    out = capsys.readouterr().out
    assert out
    if words[0] == "export":
        assert {file.suffix for file in (folder / "exports").iterdir()} <= {
            ".xlsx", ".csv", ".parquet",
        }  # fmt: skip


def test_what_bi_tools_are_told_is_there(folder):
    (line,) = blocks("ini")
    settings = dict(part.split("=") for part in line.strip().split(";"))
    assert (folder / settings["Database"]).exists()
    # the driver hands these to DuckDB
    with duckdb.connect(
        settings["Database"], config={"access_mode": settings["access_mode"]}
    ) as db:
        assert db.execute("select count(*) from meta.build").fetchone() == (1,)
    table = GUIDE[GUIDE.index("| tool | how |") :]
    assert all((folder / name).exists() for name in _FILE.findall(table))
    named = set(re.findall(r"`((?:marts|scores|meta)\.\w+)`", GUIDE))
    assert len(named) > 5
    for name in named:
        asked(f"select count(*) from {name}")


def test_it_cannot_be_written_and_an_open_reader_keeps_its_file(folder, tmp_path):
    with pytest.raises(duckdb.Error, match="read-only"):
        asked("create table marts.mine as select 1 as n")
    one, other = tmp_path / "one", tmp_path / "other"
    for place, number in ((one, 1), (other, 2)):
        with duckdb.connect(str(place)) as db:
            db.execute(f"create table t as select {number} as n")
    link = tmp_path / "linked.duckdb"
    link.symlink_to(one)
    with duckdb.connect(str(link), read_only=True) as held:
        (tmp_path / "new").symlink_to(other)
        (tmp_path / "new").replace(link)
        assert held.execute("select n from t").fetchall() == [(1,)]


@pytest.mark.slow
@pytest.mark.parametrize("text", blocks("bash"), ids=lambda text: text.split("\n")[0][:40])
def test_a_bash_block_runs_to_the_letter(folder, tiny_home, text):
    if "duckdb " in text and not shutil.which("duckdb"):
        pytest.skip("the DuckDB command line is not installed here")
    settings = environment(tiny_home) | {"PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}"}
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", text],
        env=settings, capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stdout
