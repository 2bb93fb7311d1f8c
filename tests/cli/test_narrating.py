"""Events read as short sentences."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from flashcore.cli.narrating import Narrator, narrate


@pytest.mark.parametrize(
    ("event", "line"),
    [
        ({"kind": "replica.warming_up", "message": ""}, "warming up"),
        ({"kind": "replica.draining", "message": "replaced by abc"}, "draining (replaced by abc)"),
        ({"kind": "rollout.started", "message": "to abc"}, "rolling out abc"),
        ({"kind": "rollout.done", "message": "abc is stable"}, "rolled out: abc is stable"),
        ({"kind": "rollout.traffic", "message": "by capacity", "data": {"percent": None}}, None),
        ({"kind": "rollout.traffic", "message": "20 % to abc", "data": {"percent": 20}}, "traffic: 20 % to abc"),
        ({"kind": "rollout.step", "message": "preview"}, "step: preview"),
        ({"kind": "rollout.waiting", "message": "for a person"}, "rollout waiting: for a person"),
        (
            {"kind": "deployment.status", "message": "for a person", "data": {"status": "awaiting_promotion"}},
            None,
        ),
        ({"kind": "rollout.paused", "message": None}, "rollout paused"),
        (
            {"kind": "deployment.status", "message": "1 of 2 ready", "data": {"status": "rolling_back"}},
            "rolling back: 1 of 2 ready",
        ),
        ({"kind": "deployment.status", "message": "", "data": {"status": "ready"}}, "ready"),
        ({"kind": "deployment.goal", "message": "4 replicas"}, "goal: 4 replicas"),
        ({"kind": "replica.created", "message": ""}, None),
    ],
)
def test_an_event_reads_as_a_short_sentence(event: Mapping[str, Any], line: str | None) -> None:
    """Kind and message together say what happened; what other lines tell is left out."""
    assert narrate(event) == line


def test_a_reason_is_told_once_for_whom_it_concerns() -> None:
    """What is taken back because of it needs no second look at it."""
    narrator = Narrator()
    events: list[Mapping[str, Any]] = [
        {"kind": "replica.draining", "endpoint": "web", "replica": "web-1", "message": "replaced"},
        {"kind": "replica.terminated", "endpoint": "web", "replica": "web-1", "message": "replaced"},
        {"kind": "replica.draining", "endpoint": "web", "replica": "web-2", "message": "replaced"},
        {"kind": "rollout.restoring", "endpoint": "web", "message": "3 failed", "data": {}},
        {"kind": "deployment.status", "endpoint": "web", "message": "3 failed", "data": {"status": "rolling_back"}},
    ]

    assert list(map(narrator.line, events)) == [
        "draining (replaced)",
        "terminated",
        "draining (replaced)",
        "rollout restoring: 3 failed",
        "rolling back",
    ]
