"""The checker of histories finds what it is there for: one that is well, and the same with one thing wrong."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

import pytest
from tests.e2e.history import History, faults


def well() -> History:
    """Three jobs: one done at once, one done by its second worker, one whose workers were lost."""
    return History(
        accepted={"a": ["1"], "b": ["2", "2"], "c": ["3"]},
        values={"a": 3, "b": 4, "c": 5},
        ends={
            "1": [{"status": "COMPLETED", "output": 9}] * 2,
            "2": [{"status": "COMPLETED", "output": 16, "attempts": 2}] * 2,
            "3": [{"status": "FAILED", "error": "worker lost: it is gone", "attempts": 2}] * 2,
        },
        runs=Counter(a=1, b=2, c=2),
        counted={"completed": 2, "failed": 1, "inQueue": 0, "inProgress": 0},
    )


def test_nothing_is_found_where_nothing_is_wrong() -> None:
    """Or every run of it would fail."""
    assert faults(well()) == []


def _lose(history: History) -> None:
    history.ends["1"] = []


def _forget(history: History) -> None:
    del history.ends["1"]


def _double(history: History) -> None:
    history.accepted["a"] = ["1", "4"]
    history.ends["4"] = history.ends["1"]


def _double_unseen(history: History) -> None:
    history.counted = {**history.counted, "completed": 3}


def _result_twice(history: History) -> None:
    history.ends["1"] = [{"status": "COMPLETED", "output": 9}, {"status": "COMPLETED", "output": 9, "retries": 1}]


def _run_twice(history: History) -> None:
    history.runs["a"] = 2


def _never_run(history: History) -> None:
    history.runs["a"] = 0


def _wrong(history: History) -> None:
    history.ends["1"] = [{"status": "COMPLETED", "output": 10}] * 2


def _stuck(history: History) -> None:
    history.ends["1"] = [{"status": "IN_PROGRESS"}] * 2


def _blamed(history: History) -> None:
    history.ends["3"] = [{"status": "FAILED", "error": "the store is away"}] * 2


def _shared(history: History) -> None:
    history.accepted["a"] = ["2"]


def _from_nowhere(history: History) -> None:
    history.runs["z"] = 1


def _left_over(history: History) -> None:
    history.counted = {**history.counted, "inQueue": 1}


@pytest.mark.parametrize(
    "break_it",
    [
        *(_lose, _forget, _double, _double_unseen, _result_twice, _run_twice, _never_run, _wrong, _stuck, _blamed),
        *(_shared, _from_nowhere, _left_over),
    ],
)
def test_each_thing_that_is_wrong_is_found(break_it: Callable[[History], None]) -> None:
    """Q02: a lost job, a second one, a result that changed, a run too many: none passes."""
    history = well()
    break_it(history)

    assert faults(history) != []
