"""A random history of real files through whole Dagster runs: ``INBOX SEED one-by-one|at-once``.

The demo company's own files, so that every check of a run holds: late, halved and corrected,
renamed, doubled, taken back. The job is ``refresh``: all that a run does but training.
"""

from __future__ import annotations

import contextlib
import random
import sys
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import dagster as dg

from tests.pipeline.harness.two_days import SUNDAY, Operation, delivered_to, half

RUNS = 3
MOVING = (
    "demo/orders", "demo/order_items", "demo/returns", "demo_desk/ticket_events", "demo_marketing/",
    "demo_sales/",
)  # fmt: skip


@dataclass
class History:
    """What arrives and what is taken back before each run, and what counts at the end."""

    steps: list[list[tuple[str, bytes | None]]] = field(default_factory=list)
    counting: dict[str, bytes] = field(default_factory=dict)


def history(files: dict[str, bytes], seed: int) -> History:
    """Return a history; ``None`` in the place of a content takes the file back."""
    rnd = random.Random(seed)
    made = History()
    moving = [name for name in sorted(files) if name.startswith(MOVING)]
    late = set(rnd.sample(moving, 6))
    first = [(name, content) for name, content in sorted(files.items()) if name not in late]
    short = {name for name, _ in first if _is_of_items(name) and rnd.random() < 0.2}
    made.steps.append([(n, half(n, content) if n in short else content) for n, content in first])
    waiting = sorted(late)
    for run in range(1, RUNS):
        step: list[tuple[str, bytes | None]] = []
        for _ in range(rnd.randint(1, 4)):
            kind, name = rnd.random(), rnd.choice(moving)
            if kind < 0.4 and waiting:
                name = waiting.pop(rnd.randrange(len(waiting)))
                step.append((name, files[name]))
            elif kind < 0.6 and _is_of_items(name):
                step.append((name, half(name, files[name])))
            elif kind < 0.8:
                stem, dot, ending = name.partition(".")
                step.append((f"{stem}_again{dot}{ending}", files[name]))
            else:
                step.append((name, None))
        if run == RUNS - 1:
            step += [(name, files[name]) for name in waiting]
        made.steps.append(step)
    for step in made.steps:
        for name, content in step:
            if content is None:
                made.counting.pop(name, None)
            else:
                made.counting[name] = content
    return made


def _is_of_items(name: str) -> bool:
    # a line of these is a row: others have line ends inside their values
    return name.startswith("demo/order_items")


def live(operation: Operation, steps: list[list[tuple[str, bytes | None]]]) -> None:
    """Deliver, take back, run; step by step."""
    from crm_pipeline.defs.landing.assets import CONTRACTS
    from crm_pipeline.defs.landing.ledger import retract
    from crm_pipeline.errors import UserError
    from crm_pipeline.resources.warehouse import Warehouse

    home = operation.home
    door = Warehouse(path=str(home / "warehouse.duckdb"), scratch=str(home / "tmp"))
    for step in steps:
        for name, content in step:
            if content is not None:
                operation.deliver(name, content)
                continue
            # what lies there under the name is taken away too, whether it has landed or not
            (home / "inbox" / name).unlink(missing_ok=True)
            now = datetime.now(UTC).replace(tzinfo=None)
            with door.writer() as db, contextlib.suppress(UserError):
                retract(db, CONTRACTS, *name.split("/"), now=now)
        operation.run("refresh", dg.RunRequest(), "its turn")


if __name__ == "__main__":
    from crm_pipeline.settings import export_environment, load_settings, prepare_home

    settings = load_settings()
    prepare_home(settings)
    export_environment(settings)
    inbox, seed, way = Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
    found = history(delivered_to(inbox), seed)
    steps = found.steps if way == "one-by-one" else [list(found.counting.items())]
    live(Operation(settings.home, SUNDAY), steps)
