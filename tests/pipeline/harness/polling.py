"""An analyst who opens the published file again and again, in a process of her own."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

_POLL = """
import json, sys, time
import duckdb
file, stop, polls, failures = sys.argv[1], sys.stdin, 0, []
import threading
ended = threading.Event()
threading.Thread(target=lambda: (stop.read(), ended.set()), daemon=True).start()
print("polling", flush=True)
while not ended.is_set():
    try:
        with duckdb.connect(file, read_only=True) as db:
            assert db.execute("select count(*) from meta.build").fetchone() == (1,)
            db.execute("select count(*), sum(hash(t)::hugeint) from marts.fct_orders t").fetchone()
        polls += 1
    except Exception as error:
        failures.append(str(error))
    time.sleep(0.03)
print(json.dumps([polls, failures]))
"""


@dataclass
class Polls:
    """What the analyst saw."""

    count: int = 0
    failures: list[str] = field(default_factory=list)


@contextmanager
def polling(home: Path) -> Iterator[Polls]:
    """Poll the published file of a home until the block ends; then the counts are there."""
    seen = Polls()
    process = subprocess.Popen(
        [sys.executable, "-c", _POLL, str(home / "published" / "crm.duckdb")],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "polling\n"
    try:
        yield seen
    finally:
        out, _ = process.communicate()
        seen.count, seen.failures = json.loads(out)
