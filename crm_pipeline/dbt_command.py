"""``crm-dbt``: dbt's command line on the prepared manifest, so that a build parses nothing.

Reading every file of the project again costs seconds of each invocation; ``make setup`` has done
it already. Imported by a fresh process that runs dbt and nothing else, so no Dagster in here.
"""

from __future__ import annotations

import fcntl
import gc
import os
import sys
import threading
from pathlib import Path
from typing import Any

PROJECT = Path(__file__).resolve().parent.parent / "dbt_project"
PREPARED = PROJECT / "target" / "partial_parse.msgpack"
TOUCHED = "--touched"
"""Our own argument: incremental models replace what was touched (macros/touched.sql)."""

RUN_BY = "--run-by="
"""Our own argument, with the process that waits for us: once it is gone, nobody needs a build."""

DBT_LOCK = ".dbt.lock"
"""After the warehouse's name: held while dbt has it open, also when its run was killed."""


def show_metrics_to_unit_tests() -> None:
    """Let dbt's unit tests see the metrics, from which models take their expressions.

    dbt compiles each unit test with a manifest of its own that has the test's inputs and no graph.
    """
    from dbt.contracts.graph.manifest import Manifest
    from dbt.parser.unit_tests import UnitTestManifestLoader

    load = UnitTestManifestLoader.load

    def load_with_metrics(self: UnitTestManifestLoader) -> Manifest:
        manifest = load(self)
        whole = self.manifest.flat_graph
        # sources stay unknown: a unit test's keys carry its sources' names
        manifest.flat_graph = {"nodes": {}, "sources": {}} | {
            kind: whole[kind] for kind in ("metrics", "semantic_models")
        }
        return manifest

    UnitTestManifestLoader.load = load_with_metrics  # type: ignore[method-assign]


def leave_out_unheard_events() -> None:
    """Make no message of what no log is to show: dbt writes each as JSON before it drops it.

    A build says thousands of things that only its debug log would show, and says each with every
    variable of the environment looked through.
    """
    from dbt.tracking import track_behavior_change_warn
    from dbt_common.events.base_types import BaseEvent, EventLevel
    from dbt_common.events.event_manager import EventManager

    fire = EventManager.fire_event

    def fire_if_heard(
        self: EventManager, e: BaseEvent, level: EventLevel | None = None, *rest: Any, **named: Any
    ) -> None:
        if (level or e.level_tag()) == EventLevel.DEBUG:
            levels = {logger.level for logger in self.loggers}
            # this one is there always, and waits for a warning
            listeners = [c for c in self.callbacks if c is not track_behavior_change_warn]
            if not listeners and levels.isdisjoint({EventLevel.DEBUG, EventLevel.TEST}):
                return
        fire(self, e, level, *rest, **named)

    EventManager.fire_event = fire_if_heard  # type: ignore[method-assign]


def share_macro_contexts() -> None:
    """Let the adapter's own macros run in one context a macro and thread, instead of one a call.

    Each context holds every macro of the project anew: a third of what a small model costs.
    """
    from dbt.cli import requires

    make = requires.generate_runtime_macro_context
    kept = threading.local()

    def context(macro: Any, config: Any, manifest: Any, package: str | None) -> dict[str, Any]:
        # the next invocation of the same process has settings of its own
        of = (config, manifest)
        if getattr(kept, "of", (None, None))[0] is not config or kept.of[1] is not manifest:
            kept.of, kept.contexts = of, {}
        key = (macro.unique_id, package)
        if key not in kept.contexts:
            kept.contexts[key] = make(macro, config, manifest, package)
        return dict(kept.contexts[key])

    requires.generate_runtime_macro_context = context  # type: ignore[assignment]


def main() -> int:
    """Run dbt with the process's arguments; exit code as dbt's: 0, 1 (a node failed) or 2."""
    run_by = [argument for argument in sys.argv if argument.startswith(RUN_BY)]
    sys.argv = [argument for argument in sys.argv if argument not in run_by]
    if TOUCHED in sys.argv:
        # a setting of this process and not a variable of dbt's: one would make it parse anew
        sys.argv.remove(TOUCHED)
        os.environ["CRM_SCOPE"] = "touched"
    # It lives for seconds and frees nothing big: collecting garbage is a tenth of its work.
    gc.disable()
    from dbt.cli.main import dbtRunner
    from dbt.contracts.graph.manifest import Manifest

    if not PREPARED.is_file():
        print("dbt's prepared manifest is missing: run `make setup`.", file=sys.stderr)
        return 2
    manifest = Manifest.from_msgpack(PREPARED.read_bytes())
    manifest.build_flat_graph()
    show_metrics_to_unit_tests()
    leave_out_unheard_events()
    share_macro_contexts()
    with Path(os.environ["CRM_WAREHOUSE"] + DBT_LOCK).open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        # killed before we held the lock: the next run may be at work already
        if run_by and run_by[0] != f"{RUN_BY}{os.getppid()}":
            print("the run that wanted this build is gone.", file=sys.stderr)
            return 2
        result = dbtRunner(manifest=manifest).invoke(sys.argv[1:])
    if result.exception is not None:
        print(str(result.exception), file=sys.stderr)
        return 2
    return 0 if result.success else 1


if __name__ == "__main__":
    sys.exit(main())
