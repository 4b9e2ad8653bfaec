"""How the tests in this folder run the real commands, copy a home, and compare publications."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import duckdb

from crm_pipeline.settings import CHECKOUT, KNOWN

BIN = Path(sys.executable).parent
_SET_BY_THE_PROGRAM = ("DAGSTER_", "MLFLOW_", "DBT_", "GX_", "MPLCONFIGDIR", "PYTHONDONTWRITE")

ABSTAINING = ("contract_churn", "lead_conversion", "sentiment", "uplift", "win_probability")
"""Models that nothing rules in the demo company of 1,500: 132 running memberships, some 80 decided
leads, 83 later comments and fewer than 250 decided opportunities are too few, and of so few people
an uplift model does not rank better than a response model."""


def environment(home: Path, **settings: str) -> dict[str, str]:
    """The process's environment with this home and these settings, and no others.

    Every other setting is set to nothing, so that a developer's ``.env`` decides nothing either.
    """
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("CRM_", *_SET_BY_THE_PROGRAM))
    }
    return kept | dict.fromkeys(KNOWN, "") | {"CRM_HOME": str(home)} | settings


def start_crm(home: Path, *arguments: str, **settings: str) -> subprocess.Popen[str]:
    """Start ``crm`` in a process group of its own."""
    return subprocess.Popen(
        [str(BIN / "crm"), *arguments],
        env=environment(home, **settings),
        cwd=CHECKOUT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def crm(
    home: Path, *arguments: str, timeout: float = 900, **settings: str
) -> subprocess.CompletedProcess[str]:
    """Run ``crm`` to its end, and return exit code and output."""
    return subprocess.run(
        [str(BIN / "crm"), *arguments],
        env=environment(home, **settings),
        cwd=CHECKOUT,
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
    )


def succeeded(result: subprocess.CompletedProcess[str]) -> str:
    """Return what a command printed, or fail with all that it said."""
    assert result.returncode == 0, f"exit {result.returncode}\n{result.stdout}\n{result.stderr}"
    assert "Traceback" not in result.stdout + result.stderr
    return result.stdout


def refused(result: subprocess.CompletedProcess[str], *, code: int) -> str:
    """Return what a command said when it refused: no stack trace, and the exit code ``code``."""
    said = result.stdout + result.stderr
    assert result.returncode == code, f"exit {result.returncode}, not {code}\n{said}"
    assert "Traceback" not in said, said
    assert 'File "' not in said, said
    return result.stderr


def copy_home(home: Path, target: Path) -> Path:
    """Copy a home with its links and times, to be changed."""
    shutil.copytree(home, target, symlinks=True)
    return target


def published(home: Path) -> duckdb.DuckDBPyConnection:
    """Open the published file as an analyst would."""
    return duckdb.connect(str(home / "published" / "crm.duckdb"), read_only=True)


def parquet_digests(folder: Path) -> dict[str, str]:
    """Table -> SHA-256 of its Parquet file."""
    files = sorted(folder.rglob("*.parquet"))
    return {
        file.relative_to(folder).as_posix(): hashlib.sha256(file.read_bytes()).hexdigest()
        for file in files
    }


def publication(home: Path) -> dict[str, str]:
    """Table -> SHA-256 of its published Parquet."""
    digests = parquet_digests(home / "published" / "parquet")
    assert digests
    return digests


def shuffle(con: duckdb.DuckDBPyConnection, table: str, salt: int) -> None:
    """Have the rows of a table lie in an order by chance; ``table`` is quoted SQL."""
    con.execute(f"create temp table shuffled as from {table} order by hash(rowid + {salt})")
    con.execute(f"delete from {table}")
    con.execute(f"insert into {table} from shuffled")
    con.execute("drop table shuffled")


def different(one: Mapping[str, str], other: Mapping[str, str]) -> list[str]:
    """Names of the tables that differ, so that a failure names them."""
    return sorted(n for n in one.keys() | other.keys() if one.get(n) != other.get(n))
