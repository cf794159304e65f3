"""Candidates that take turns, and their times: of the wall, and of the processor, which other work on the machine does
not make longer."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

Run = Callable[[], Any]


@dataclass
class Timing:
    """The times of one candidate."""

    #: The candidate.
    name: str
    #: The time of each run: of the wall, and of the processor.
    milliseconds: list[float] = field(default_factory=list)
    cpu_milliseconds: list[float] = field(default_factory=list)
    #: Why times are missing, or few.
    note: str = ""

    def judged(self, threads: int) -> float | None:
        """Return the median that ratios are made of: one thread's processor time, several threads' wall time."""
        times = self.cpu_milliseconds if threads == 1 else self.milliseconds
        return statistics.median(times) if times else None

    def as_json(self, label: str) -> dict[str, Any]:
        """Return the times as JSON."""
        times, cpu = self.milliseconds, self.cpu_milliseconds
        return {
            "name": self.name,
            "label": label,
            "runs": len(times),
            "median_ms": statistics.median(times) if times else None,
            "min_ms": min(times, default=None),
            "median_cpu_ms": statistics.median(cpu) if cpu else None,
            "note": self.note,
        }


def take_turns(
    runs: Mapping[str, Run], rounds: Iterable[int], threads: int = 1, at_most: Mapping[str, int] | None = None
) -> dict[str, Timing]:
    """Return the times of each candidate's runs, one in each of the rounds, which are counted from 0.

    Each round runs every candidate once, so that a slower minute of the machine affects all of them alike. Each round
    starts with another candidate, so that none always finds the caches as the same neighbour left them.

        threads: how many the candidates use; of one, the processor time is that of this thread alone.
        at_most: in how many rounds a candidate runs, of those that do not run in all.
    """
    names, few = list(runs), at_most or {}
    clock = time.thread_time if threads == 1 else time.process_time
    for run in runs.values():
        run()
    found = {name: Timing(name) for name in names}
    for index in rounds:
        first = index % len(names)
        for name in names[first:] + names[:first]:
            if name not in few or index < few[name]:
                start, used = time.perf_counter(), clock()
                runs[name]()
                found[name].cpu_milliseconds.append(1000 * (clock() - used))
                found[name].milliseconds.append(1000 * (time.perf_counter() - start))
    return found
