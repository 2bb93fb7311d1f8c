"""What became of each job, as its caller saw it and as the function that did it wrote it down; and what is wrong there.

Nothing of the platform's own accounts is believed but what it answers: a mistake in them must not hide itself.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(slots=True)
class History:
    """Of the jobs of one run; each was submitted with a key of its own."""

    accepted: dict[str, list[str]] = field(default_factory=dict)
    """By key: the ids that submissions with it were answered with."""
    values: dict[str, int] = field(default_factory=dict)
    """By key: what was to be squared."""
    ends: dict[str, list[Mapping[str, Any]]] = field(default_factory=dict)
    """By id: its status document, each time that it was asked for after the load."""
    runs: Counter[str] = field(default_factory=Counter)
    """By key: how often the function was begun."""
    counted: Mapping[str, int] = field(default_factory=dict)
    """How many jobs the queue says that it has in each state."""


def faults(history: History) -> list[str]:
    """Everything that must not be, in words; nothing when each accepted job has ended once."""
    found: list[str] = []
    for key, ids in history.accepted.items():
        if len(set(ids)) != 1:
            found.append(f"{key} is {len(set(ids))} jobs: {ids}")
        for job in set(ids):
            found += [f"{job}: {fault}" for fault in _of_job(history, key, history.ends.get(job, []))]
    owners = Counter(job for ids in history.accepted.values() for job in set(ids))
    found += [f"{job} is the job of {count} keys" for job, count in owners.items() if count > 1]
    found += [f"{key} was run and never accepted" for key in history.runs.keys() - history.accepted.keys()]
    return found + _of_counts(history)


def _of_job(history: History, key: str, ends: list[Mapping[str, Any]]) -> list[str]:
    if not ends:
        return ["nobody knows it"]
    last = ends[-1]
    found = []
    if any(end != last for end in ends):
        found.append(f"its end changed: {ends}")
    if last["status"] == "COMPLETED":
        if last["output"] != history.values[key] ** 2:
            found.append(f"its result is {last['output']}, of {history.values[key]}")
        if not history.runs[key]:
            found.append("it is completed, and nobody ran it")
    elif last["status"] != "FAILED" or "worker lost" not in last.get("error", ""):
        found.append(f"it is {last['status']}: {last.get('error')}")
    if history.runs[key] > last.get("attempts", 1):
        found.append(f"it was run {history.runs[key]} times in {last.get('attempts', 1)} attempts")
    return found


def _of_counts(history: History) -> list[str]:
    """The queue has what was accepted and no more: a job that nobody was told of is one that was made twice."""
    statuses = Counter(ends[-1]["status"] for ends in history.ends.values() if ends)
    expected = {"completed": statuses["COMPLETED"], "failed": statuses["FAILED"], "inQueue": 0, "inProgress": 0}
    counted = {name: history.counted.get(name) for name in expected}
    return [] if counted == expected else [f"the queue counts {counted}, the callers {expected}"]
