"""What a benchmark says: targets with what was measured, tables, and one JSON file."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Target:
    """One promise and what was measured; ``most``/``least`` are inclusive."""

    name: str
    measured: float
    most: float | None = None
    least: float | None = None
    note: str = ""

    @property
    def holds(self) -> bool:
        """Whether the promise is kept."""
        low = self.least is None or self.measured >= self.least
        return low and (self.most is None or self.measured <= self.most)

    def line(self) -> str:
        """One line for people."""
        bounds = [f"at least {self.least:g}" if self.least is not None else ""]
        bounds.append(f"at most {self.most:g}" if self.most is not None else "")
        wanted = ", ".join(bound for bound in bounds if bound)
        verdict = "pass      " if self.holds else "FALL SHORT"
        return f"{verdict} {self.name:<58} {self.measured:>9.3g}  ({wanted})  {self.note}".rstrip()


@dataclass
class Report:
    """Everything that one ``make bench`` found."""

    targets: list[Target] = field(default_factory=list)
    data: dict[str, Any] = field(default_factory=dict)

    def promise(self, name: str, measured: float, **bounds: Any) -> None:
        """Record a target and print its line."""
        target = Target(name, float(measured), **bounds)
        self.targets.append(target)
        print(target.line(), flush=True)

    def note(self, topic: str, value: Any) -> None:
        """Keep what a topic measured, for the JSON file."""
        self.data[topic] = value

    def summary(self) -> str:
        """Every target again, at the end."""
        missed = sum(not target.holds for target in self.targets)
        lines = [target.line() for target in self.targets]
        lines.append(f"{missed} of {len(self.targets)} targets fall short")
        return "\n".join(lines)

    def save(self, file: Path) -> None:
        """Write the JSON file."""
        targets = [asdict(target) | {"holds": target.holds} for target in self.targets]
        content = {"targets": targets, **self.data}
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps(content, indent=1, default=str) + "\n", encoding="utf-8")


def table(title: str, header: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """Print a table: text to the left, numbers to the right."""
    cells = [[_text(value) for value in row] for row in [header, *rows]]
    widths = [max(len(row[i]) for row in cells) for i in range(len(header))]
    print(f"\n{title}")
    for row in cells:
        line = [row[0].ljust(widths[0])]
        line += [value.rjust(width) for value, width in zip(row[1:], widths[1:], strict=True)]
        print("  " + "  ".join(line))
    print(flush=True)


def _text(value: object) -> str:
    if isinstance(value, float):
        return f"{value:,.2f}" if abs(value) < 1000 else f"{value:,.0f}"
    return f"{value:,}" if isinstance(value, int) else str(value)
