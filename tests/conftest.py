"""What every test may use: real data where it is present, settings that touch no real home.

And how the suite stays quick: workers that share the cores, the slowest tests named.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).resolve().parent.parent
NAMED = 10
"""The slowest tests, named at the end of every run that is long enough."""

LONG_SECONDS = 60
WAITED_FOR = ("demo_home", "tiny_home")
"""Fixtures that every worker waits for until one has made them."""

if "PYTEST_XDIST_WORKER" in os.environ:
    # as many processes as cores already; read when numpy is imported, and by every `crm`
    for _name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
        os.environ.setdefault(_name, "1")


@pytest.hookimpl(trylast=True)  # after those that are not selected are gone
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with a file for each home, so that the workers make the homes at the same time.

    A file that needs no other home, or its worker would wait for the one that makes that.
    """
    needed: dict[Path, set[str]] = {}
    for item in items:
        homes = set(WAITED_FOR).intersection(getattr(item, "fixturenames", ()))
        needed.setdefault(item.path, set()).update(homes)
    leaders = [
        next((path for path, homes in needed.items() if homes == {home}), None)
        for home in WAITED_FOR
    ]
    items.sort(key=lambda item: leaders.index(item.path) if item.path in leaders else len(leaders))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Name the slowest tests with what was made for them: who slows the suite down is seen."""
    seconds: Counter[str] = Counter()
    for reports in terminalreporter.stats.values():
        for report in reports:
            if isinstance(report, pytest.TestReport) and report.when != "teardown":
                seconds[report.nodeid] += report.duration
    if seconds.total() < LONG_SECONDS:
        return
    terminalreporter.section(f"the {NAMED} slowest tests")
    for name, taken in seconds.most_common(NAMED):
        terminalreporter.write_line(f"{taken:6.1f} s  {name}")


@pytest.fixture(autouse=True, scope="session")
def _no_settings_from_outside():
    """A developer's own CRM_* settings must not decide what a test sees."""
    kept = {"CRM_SHARED_DATA"}
    for name in [n for n in os.environ if n.startswith("CRM_") and n not in kept]:
        del os.environ[name]
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)


@pytest.fixture(scope="session")
def shared_data() -> Callable[[str], Path]:
    """Return a file of the shared real data, or skip with the reason."""
    root = Path(os.environ.get("CRM_SHARED_DATA", CHECKOUT.parent / "shared" / "data"))

    def find(name: str) -> Path:
        path = root / name
        if not path.exists():
            pytest.skip(f"real data not here: ../shared/data/{name} (or $CRM_SHARED_DATA)")
        return path

    return find
