"""What `flashcore status` shows."""

from collections.abc import Mapping
from typing import Any

import pytest

from flashcore.cli.status import show_deployments, show_one

WAITING: Mapping[str, Any] = {
    "endpoint": "web",
    "resource": "load_balanced",
    "status": "awaiting_promotion",
    "reason": "promotion waits for a person",
    "goal": 2,
    "ready": 4,
    "revision": "0123456789abcdef",
    "path": "/web",
    "preview": "/web--preview",
    "now": 0.0,
    "waits": [
        {"code": "gate", "blocked_by": "gate 'manual'", "reason": "promotion waits for a person", "until": None},
        {"code": "back_off", "blocked_by": "revision fedc", "reason": "no GPU", "until": 60.0},
    ],
    "rollout": {
        "generation": 2,
        "target": "fedcba9876543210",
        "state": "waiting",
        "reason": "promotion waits for a person",
    },
    "replicas": [
        {
            "id": "web-1",
            "revision": "fedcba98",
            "phase": "warming_up",
            "health": "not_checked",
            "reason": "because\n  | of that\n",
        }
    ],
}


def test_a_rollout_that_waits_says_how_to_try_and_how_to_go_on(capsys: pytest.CaptureFixture[str]) -> None:
    """Words instead of identifiers, what is ready beyond the goal, the preview's address."""
    show_deployments([WAITING], "http://127.0.0.1:8700")

    shown = capsys.readouterr()
    assert "web       awaiting promotion  2/2 +2  0123456789ab  http://127.0.0.1:8700/web\n" in shown.out
    assert "http://127.0.0.1:8700/web--preview\n" in shown.err
    assert "flashcore rollout promote web" in shown.err


def test_a_version_that_has_a_share_of_the_calls_is_shown_at_no_preview(capsys: pytest.CaptureFixture[str]) -> None:
    """The gateway knows none: the address was answered 404."""
    show_deployments([{**WAITING, "preview": None}], "http://127.0.0.1")

    shown = capsys.readouterr()
    assert "--preview" not in shown.err
    assert "flashcore rollout promote web" in shown.err


def test_a_replica_is_told_of_in_words_with_its_reason_on_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    """A reason is told once, and fully for the endpoint."""
    show_one(WAITING)

    shown = capsys.readouterr().out
    assert shown.startswith("web (load balanced): awaiting promotion, 2/2 +2 ready\n  promotion waits for a person\n")
    assert shown.count("promotion waits for a person") == 1
    assert "  waits for gate (gate 'manual')\n" in shown
    assert "  waits for back off (revision fedc, at 00:01:00 UTC (in 60 s)): no GPU\n" in shown
    assert shown.endswith("web-1    fedcba98  warming up  not checked  because\n")
