"""The chain of causes as people read it."""

from collections.abc import Mapping
from typing import Any

from flashcore.cli.why import explained


def event(kind: str, at: float, message: str = "", **fields: Any) -> Mapping[str, Any]:
    """An event of the log."""
    return {"kind": kind, "at": at, "message": message, "replica": None, "data": {}, "endpoint": "web", **fields}


def answer(**fields: Any) -> Mapping[str, Any]:
    """An endpoint that is ready and waits for nothing."""
    rest = {"endpoint": "web", "status": "ready", "reason": "", "reason_code": "", "now": 100.0, "next_wake": None}
    return {**rest, "waits": [], "events": [], **fields}


def test_each_link_says_who_and_the_end_says_what_comes_next() -> None:
    """From the request over the decisions to what is waited for."""
    told = answer(
        status="awaiting_promotion",
        reason="it waits",
        reason_code="gate",
        next_wake=160.0,
        waits=[{"code": "gate", "blocked_by": "gate 'manual'", "reason": "it waits", "until": None}],
        events=[
            event("rollout.started", 10.0, "to abc", data={"by": "deploy", "generation": 2}),
            event("rollout.step", 11.0, "preview", data={"by": "strategy 'blue_green'"}),
            event("deployment.status", 12.0, "", data={"status": "deploying"}),
        ],
    )

    assert list(explained(told)) == [
        "web is awaiting promotion [gate]: it waits",
        "because",
        "  00:00:10  rolling out abc (by deploy)",
        "  00:00:11  step: preview (by strategy 'blue_green')",
        "waits for",
        "  gate (gate 'manual'): it waits",
        "next",
        "  looks again at 00:02:40 UTC (in 60 s), or when something changes",
    ]


def test_who_is_named_already_is_not_named_again() -> None:
    """What a person did says so itself."""
    by_hand = event("deployment.goal", 0.0, "4 replicas, set by a person", data={"goal": 4, "by": "person"})
    by_itself = event("deployment.goal", 1.0, "3 replicas, not 4", data={"goal": 3, "by": "scaler"})

    lines = list(explained(answer(events=[by_hand, by_itself])))

    assert lines[2:4] == [
        "  00:00:00  goal: 4 replicas, set by a person",
        "  00:00:01  goal: 3 replicas, not 4 (by scaler)",
    ]


def test_the_same_again_and_again_is_told_once() -> None:
    """With how often."""
    failures = [event("replica.failed_to_start", float(at), "no disk", replica="web-1") for at in range(5)]

    lines = list(explained(answer(events=failures)))

    assert "  00:00:00  web-1 failed to start (no disk) (5 times)" in lines


def test_a_long_chain_keeps_its_beginning_and_its_end() -> None:
    """And says what is left out."""
    events = [event("replica.unhealthy", float(at), f"status {at}", replica="web-1") for at in range(100)]

    lines = list(explained(answer(events=events)))

    assert len(lines) < 40
    assert any("status 0)" in line for line in lines)
    assert any("status 99)" in line for line in lines)
    assert any("70 more" in line for line in lines)


def test_a_log_that_was_forgotten_is_no_riddle() -> None:
    """It says so."""
    assert "  nothing is known: the log does not reach so far back" in list(explained(answer()))


def test_what_a_replica_printed_last_stands_below_its_end() -> None:
    """A few lines: the reason may be there, and the replica's own log is asked for by its name."""
    log = ["one", "two", "three", "MemoryError"]
    ended = event("replica.terminated", 0.0, "it ended with exit status 3", replica="web-1", data={"log_tail": log})

    lines = list(explained(answer(events=[ended])))

    assert lines[2:6] == [
        "  00:00:00  web-1 terminated (it ended with exit status 3)",
        "            | two",
        "            | three",
        "            | MemoryError",
    ]
