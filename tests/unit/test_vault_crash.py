"""A process killed while personal data lands: no row lost, no clear text, nothing left behind."""

from __future__ import annotations

import shutil
import signal
import subprocess
import sys
from pathlib import Path

import duckdb
import pytest

from crm_pipeline.settings import CHECKOUT
from crm_pipeline.vault.store import open_vault
from crm_pipeline.vault.tombstones import keep_tombstones
from tests.unit.landing_support import Company, contracts_of
from tests.unit.test_vault import LETTERS, LINES, ORDERS, PEOPLE, SOURCES, forget

SCRIPT = """
import os, signal, sys
from pathlib import Path
from crm_pipeline.defs.landing import archive, content, erasure, guard, ledger, redaction, store
from crm_pipeline.vault import sealed
from crm_pipeline.vault import store as vault
from tests.unit.landing_support import Company, contracts_of
from tests.unit.test_vault import SOURCES
plain, calls = {owner}.{name}, []
def killed(*arguments, **named):
    calls.append(1)
    if len(calls) == {call} and not {after}:
        os.kill(os.getpid(), signal.SIGKILL)
    result = plain(*arguments, **named)
    if len(calls) == {call}:
        os.kill(os.getpid(), signal.SIGKILL)
    return result
{owner}.{name} = killed
Company(Path(sys.argv[1]), contracts_of(SOURCES)).land()
"""
LANDING = {
    "before a copy is sealed": ("sealed", "seal", 2, False),
    "after a copy is sealed": ("sealed", "seal", 2, True),
    "with the values in an open transaction": ("vault.Vault", "put", 2, True),
    "before the vault's commit": ("guard.Guard", "_end", 4, False),
    "between the vault's commit and the warehouse's": ("guard.Guard", "_end", 4, True),
    "before the sweep": ("vault.Vault", "sweep", 1, False),
}
ERASING = {
    "before rows leave": ("erasure", "apply", 1, False),
    "after rows left": ("erasure", "apply", 1, True),
    "between two copies of the archive": ("redaction", "_redact", 2, True),
    "before the vault is swept": ("vault.Vault", "drop_lines", 1, False),
}


def kill(home: Path, where: tuple[str, str, int, bool]) -> None:
    owner, name, call, after = where
    script = SCRIPT.format(owner=owner, name=name, call=call, after=after)
    done = subprocess.run([sys.executable, "-c", script, str(home)], cwd=CHECKOUT, timeout=60)
    assert done.returncode == -signal.SIGKILL


def delivered(home: Path) -> Company:
    home.mkdir()
    # one key, so that tokens can be compared
    (home / "master.key").write_text("ab" * 32)
    (home / "master.key").chmod(0o600)
    company = Company(home, contracts_of(SOURCES), in_memory=True)
    files = {"people": PEOPLE, "orders": ORDERS, "lines": LINES, "letters": LETTERS}
    for name, text in files.items():
        company.put(f"{name}.csv", text)
    return company


def state(company: Company) -> tuple:
    """What landed, what the vault holds of it in clear, and which files are kept."""
    with open_vault(company.home, None) as vault:
        where = vault.con.execute(
            "select source, table_name, digest, line from sealed join contents using (content) "
            "group by all order by all"
        ).fetchall()
        values = [(*row, sorted(vault.read(*row).items())) for row in where]
        contents = vault.con.execute("select count(*) from contents").fetchone()
    rows = [company.rows("*", f"shop__{t.name}") for t in company.contracts["shop"].tables]
    archive = sorted(p.name for p in (company.home / "archive").rglob("*") if p.is_file())
    return rows, company.accounts(), values, contents, archive


def clear_text(home: Path) -> list[str]:
    words = [w.encode() for w in ("Muster", "Bo Berg", "shop.example", "质量太差", "1234567")]
    return [
        path.name
        for path in home.rglob("*")
        if path.is_file() and "inbox" not in path.parts
        if any(word in path.read_bytes() for word in words)
    ]


@pytest.fixture(scope="module")
def whole(tmp_path_factory) -> tuple[Company, tuple]:
    company = delivered(tmp_path_factory.mktemp("whole") / "home")
    company.land()
    return company, state(company)


@pytest.mark.parametrize("where", LANDING)
def test_killed_while_personal_data_lands(tmp_path, whole, where):
    company = delivered(tmp_path / "home")
    kill(company.home, LANDING[where])
    assert clear_text(company.home) == []
    company.con = duckdb.connect(str(company.home / "warehouse.duckdb"))
    assert company.land().is_ok
    assert state(company) == whole[1]
    assert clear_text(company.home) == []


@pytest.mark.parametrize("where", ERASING)
def test_killed_while_somebody_is_erased(tmp_path, where):
    company = delivered(tmp_path / "home")
    company.con.close()
    company.con = duckdb.connect(str(company.home / "warehouse.duckdb"))
    company.land()
    company.con.close()
    forget(company, "shop:1")
    wanted_home = tmp_path / "wanted"
    shutil.copytree(company.home, wanted_home)
    wanted = Company(wanted_home, company.contracts)
    wanted.land()
    kill(company.home, ERASING[where])
    company.con = duckdb.connect(str(company.home / "warehouse.duckdb"))
    assert company.land().is_ok
    assert state(company) == state(wanted)
    assert [row for row in company.rows("id", "shop__people") if row == ("1",)] == []


def test_a_restore_keeps_who_was_forgotten_since(tmp_path):
    company = delivered(tmp_path / "home")
    company.land()
    backup = tmp_path / "backup.duckdb"
    shutil.copyfile(company.home / "vault.duckdb", backup)
    forget(company, "shop:1")
    assert keep_tombstones(company.home / "vault.duckdb", backup) == 1
    shutil.copyfile(backup, company.home / "vault.duckdb")
    with open_vault(company.home, None) as vault:
        person = vault.keys.identity("customer", "shop:1")
        assert vault.tombstones() == [person]
        for table in ("keys", "sealed"):
            held = {p for (p,) in vault.con.execute(f"select person from {table}").fetchall()}
            assert held
            assert person not in held
    assert keep_tombstones(company.home / "vault.duckdb", backup) == 0
    assert keep_tombstones(tmp_path / "none", backup) == 0
