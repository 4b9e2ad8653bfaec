"""Landed one by one and built in part, or landed at once and built whole: the same bytes.

Sources, tables, columns and models come from dbt's manifest, so that a new one takes part by being
there. What is random comes from a seed, which a failure names together with a short history that
still fails; ``failure(plan(sources_in_part(), ZONE), 17)`` tells that of seed 17 again.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

import pytest

from crm_pipeline.defs.landing import changes
from tests.pipeline.harness.sequences import (
    Build,
    Coverage,
    Event,
    Life,
    check,
    differences,
    random_sequence,
    shrunk,
)
from tests.pipeline.harness.warehouse import (
    ZONE,
    DbtWarehouse,
    Plan,
    all_sources,
    plan,
    sources_in_part,
)

SEQUENCES = 500
FED_BY_NO_SOURCE = {"intermediate.int_order_items__orphaned"}
"""Lines without a time: every source that ships refuses them; dbt's unit tests have some."""
NEVER_IN_PART = {
    "staging.stg_marketing_campaign__customers",
    "staging.stg_reviews_zh__products",
}
"""Another model reads the one table of their source whole, so that a change of it is never built in
part."""

FAST = 8
"""The seed of the history that the fast suite lives: one with several builds in part."""
SHARE = 12


@pytest.fixture(autouse=True, scope="module")
def _small_files_are_built_in_part() -> Iterator[None]:
    """A handful of rows always changes by more than a third."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(changes, "MOST_OF_IT", float("inf"))
        yield


def failure(of: Plan, seed: int, coverage: Coverage | None = None) -> str:
    """Return the seed, what is wrong and a shorter history in which it is; or nothing."""
    events = random_sequence(of, seed)
    wrong = check(of, events, seed, coverage)
    if not wrong:
        return ""
    history = "\n  ".join(str(event) for event in shrunk(of, events, seed))
    return f"sources {of.sources}, seed {seed}: {wrong}\n  {history}"


def _many(named: tuple[str, ...], seeds: range) -> tuple[list[str], Coverage]:
    changes.MOST_OF_IT = float("inf")
    coverage = Coverage()
    failures = [failure(plan(named, ZONE), seed, coverage) for seed in seeds]
    return [found for found in failures if found], coverage


def test_a_history_of_all_sources():
    failures, coverage = _many(sources_in_part(), range(FAST, FAST + 1))
    assert failures == []
    assert coverage.builds["part"] > 1


@pytest.mark.slow
def test_many_histories():
    """Of each source alone, of all together, and of those together that are built in part."""
    companies = [sources_in_part(), all_sources(), *((name,) for name in all_sources())]
    of_each = -(-SEQUENCES // len(companies))
    jobs = [
        (named, range(start, min(start + SHARE, of_each)))
        for start in range(0, of_each, SHARE)
        for named in companies
    ]
    for named in companies:
        plan(named, ZONE)  # recorded here, once, before the processes start
    failures: list[str] = []
    coverage, count = Coverage(), sum(len(seeds) for _, seeds in jobs)
    with ProcessPoolExecutor(os.cpu_count(), get_context("spawn")) as pool:
        for found, covered in pool.map(_many, *zip(*jobs, strict=True)):
            failures += found
            coverage.add(covered)
            print(*found, sum(covered.builds.values()), "builds more", flush=True)  # hours long
    print(f"{count} histories: {dict(coverage.builds)}, {dict(coverage.events)}")
    print(f"changed by partial builds: {dict(coverage.changed)}; staged: {dict(coverage.staged)}")
    assert count >= SEQUENCES
    assert failures == []
    # what could be rebuilt in part was, and came out otherwise than before
    everything = plan(all_sources(), ZONE)
    assert {t for t in everything.incremental if not coverage.changed[t]} == FED_BY_NO_SOURCE
    assert {v for v in everything.rebuilt_by if not coverage.staged[v]} <= NEVER_IN_PART
    assert coverage.builds["killed"]


@pytest.mark.slow
def test_recorded_sql_makes_what_dbt_makes(tmp_path):
    """Two builds of one history, the second in part: by dbt, and by the SQL recorded of it."""
    of = plan(sources_in_part(), ZONE)
    lives = [Life(of, tmp_path / "dbt", DbtWarehouse), Life(of, tmp_path / "replayed")]
    for life in lives:
        for event in two_builds(of):
            life.live(event)
    assert lives[1].coverage.builds["part"] == lives[0].coverage.builds["part"] == 1
    assert differences(*lives) == []


def two_builds(of: Plan) -> list[Event]:
    """Return a history up to its second build, which is in part and undisturbed."""
    for seed in range(1000):
        events = random_sequence(of, seed)
        ends = [n for n, event in enumerate(events) if isinstance(event, Build)]
        head = events[: ends[1] + 1]
        coverage = Coverage()
        if not any(isinstance(e, Build) and e.stop_at is not None for e in head):
            assert check(of, head, seed, coverage) == ""
            if coverage.builds["part"] == 1 and sum(coverage.changed.values()) > 5:
                return head
    raise AssertionError("no history has two builds of which the second is in part")
