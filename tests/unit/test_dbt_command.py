"""What ``crm-dbt`` leaves out of dbt's work: nothing that anybody would have seen."""

from __future__ import annotations

import threading
from types import SimpleNamespace
from typing import Any

import pytest
from dbt.cli import requires
from dbt.tracking import track_behavior_change_warn
from dbt_common.events import event_manager
from dbt_common.events.base_types import EventLevel
from dbt_common.events.event_manager import EventManager
from dbt_common.events.types import Note

from crm_pipeline.dbt_command import leave_out_unheard_events, share_macro_contexts


@pytest.fixture
def made(monkeypatch) -> list[str]:
    """Levels of the messages that are made of events."""
    levels: list[str] = []
    make = event_manager.msg_from_base_event

    def recorded(event: Any, level: EventLevel | None = None) -> Any:
        message = make(event, level=level)
        levels.append(message.info.level)
        return message

    monkeypatch.setattr(event_manager, "msg_from_base_event", recorded)
    monkeypatch.setattr(EventManager, "fire_event", EventManager.fire_event)  # put back at the end
    leave_out_unheard_events()
    return levels


def log(level: EventLevel) -> Any:
    return SimpleNamespace(level=level, filter=lambda _: True, write_line=lambda _: None)


@pytest.mark.parametrize(
    ("levels", "callbacks", "heard"),
    [
        ([], [], False),
        ([EventLevel.INFO, EventLevel.ERROR], [track_behavior_change_warn], False),
        ([EventLevel.INFO, EventLevel.DEBUG], [], True),
        ([EventLevel.ERROR], [track_behavior_change_warn, lambda _: None], True),
    ],
)
def test_a_debug_event_is_made_a_message_only_where_somebody_hears_it(
    made, levels, callbacks, heard
):
    manager = EventManager()
    manager.loggers = [log(level) for level in levels]
    manager.callbacks = callbacks
    manager.fire_event(Note(msg="a"), EventLevel.DEBUG)
    assert made == (["debug"] if heard else [])
    manager.fire_event(Note(msg="a"), EventLevel.INFO)
    manager.fire_event(Note(msg="a"), EventLevel.WARN)
    assert made[-2:] == ["info", "warn"]


def test_a_macros_context_is_made_once_a_thread_invocation_and_macro(monkeypatch):
    made: list[tuple[Any, ...]] = []

    def make(*of: Any) -> dict[str, Any]:
        made.append(of)
        return {"number": len(made)}

    monkeypatch.setattr(requires, "generate_runtime_macro_context", make)
    share_macro_contexts()
    context: Any = requires.generate_runtime_macro_context
    one, other, first, second = (SimpleNamespace(unique_id=n) for n in ("a", "b", "c", "d"))
    context(one, first, "manifest", None).update(number=9)
    assert context(one, first, "manifest", None) == {"number": 1}, "a caller's change stays his own"
    assert context(other, first, "manifest", None) == {"number": 2}
    assert context(one, first, "manifest", "crm") == {"number": 3}
    assert context(one, second, "manifest", None) == {"number": 4}, "settings of a run before"
    thread = threading.Thread(target=context, args=(one, second, "manifest", None))
    thread.start()
    thread.join()
    assert len(made) == 5
