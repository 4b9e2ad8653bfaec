"""Running a command and watching it: seconds, CPU seconds and memory of its whole process tree."""

from __future__ import annotations

import os
import subprocess
import threading
import time
from bisect import bisect_left, bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import psutil

INTERVAL_SECONDS = 0.05
MEGABYTE = 1 << 20


class FailedError(Exception):
    """A command that had to succeed did not; the message holds its output."""


@dataclass(frozen=True)
class Watched:
    """What a command took.

    Attributes:
        seconds: From start to end.
        cpu_seconds: User and system time of the command and of all its descendants.
        peak_bytes: Greatest sum of the tree's resident memory that was seen.
        exit_code: The command's.
        output: Standard output and error.
        times, cpu, own_cpu, memory: Samples: seconds since 1970, cumulative CPU seconds of the
            tree and of the command's own process alone, bytes of the tree.
    """

    seconds: float
    cpu_seconds: float
    peak_bytes: int
    exit_code: int
    output: str
    times: list[float]
    cpu: list[float]
    own_cpu: list[float]
    memory: list[int]

    def cpu_between(self, start: float, end: float) -> float:
        """CPU seconds of the tree between two instants, interpolated between samples."""
        if len(self.times) < 2:
            return 0.0
        low, high = np.interp([start, end], self.times, self.cpu)
        return float(high - low)

    def children_cpu_between(self, start: float, end: float) -> float:
        """CPU seconds of the descendants alone between two instants."""
        if len(self.times) < 2:
            return 0.0
        low, high = np.interp([start, end], self.times, np.subtract(self.cpu, self.own_cpu))
        return float(high - low)

    def peak_between(self, start: float, end: float) -> int:
        """Greatest memory seen between two instants; 0 if no sample fell in between."""
        first, last = bisect_left(self.times, start), bisect_right(self.times, end)
        return max(self.memory[first:last], default=0)


def environment(**settings: str) -> dict[str, str]:
    """Return the environment of a measured command: no setting of ours but the given ones."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("CRM_", "DAGSTER_"))}
    kept.pop("PYTHONDONTWRITEBYTECODE", None)
    return {**kept, **settings}


def watch(command: Sequence[str], *, cwd: Path, env: Mapping[str, str]) -> Watched:
    """Run a command to its end and sample its process tree meanwhile."""
    started = time.time()
    process = subprocess.Popen(
        list(command),
        cwd=cwd,
        env=dict(env),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    times, cpu, own, memory = [started], [0.0], [0.0], [0]
    stop = threading.Event()

    def sample() -> None:
        root = psutil.Process(process.pid)
        while not stop.wait(INTERVAL_SECONDS):
            used, used_alone, resident = _tree(root)
            if resident:
                times.append(time.time())
                cpu.append(max(used, cpu[-1]))
                own.append(max(used_alone, own[-1]))
                memory.append(resident)

    sampler = threading.Thread(target=sample, daemon=True)
    sampler.start()
    assert process.stdout is not None
    output = process.stdout.read()
    _, status, usage = os.wait4(process.pid, 0)
    ended = time.time()
    stop.set()
    sampler.join()
    process.returncode = os.waitstatus_to_exitcode(status)
    total = usage.ru_utime + usage.ru_stime
    times.append(ended)
    cpu.append(max(total, cpu[-1]))
    own.append(own[-1] + cpu[-1] - cpu[-2])  # what ends last is the command itself
    memory.append(0)
    return Watched(
        ended - started, total, max(memory), process.returncode, output, times, cpu, own, memory
    )


def _tree(root: psutil.Process) -> tuple[float, float, int]:
    """CPU seconds (with descendants that have ended), those of the root alone, resident bytes."""
    used, own, resident = 0.0, 0.0, 0
    try:
        members = [root, *root.children(recursive=True)]
    except psutil.Error:
        return 0.0, 0.0, 0
    for member in members:
        try:
            times = member.cpu_times()
            resident += member.memory_info().rss
        except psutil.Error:
            continue
        used += times.user + times.system + times.children_user + times.children_system
        if member is root:
            own = times.user + times.system
    return used, own, resident
