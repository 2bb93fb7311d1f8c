"""Following a rollout: how it ends decides the exit status, and a newer one is somebody else's."""

from collections.abc import Iterator, Mapping
from typing import Any

import click
import pytest

from flashcore.cli import output
from flashcore.cli.api import ControlApi
from flashcore.cli.following import Followed, Settled, Superseded, detach, follow
from flashcore.cli.traffic import routed
from flashcore.model.errors import DeadlineExceeded, Refused


def one(**fields: Any) -> Mapping[str, Any]:
    """An endpoint that is ready."""
    rest = {"endpoint": "web", "status": "ready", "reason": "", "settled": True, "generation": 2}
    return {**rest, "rollout_state": "done", "gateways_behind": [], **fields}


class Scripted(ControlApi):
    """A control plane that shows one picture after the other, the last one for ever."""

    def __init__(self, *shown: list[Mapping[str, Any]]) -> None:
        super().__init__("http://127.0.0.1:1", "")
        self._shown: Iterator[list[Mapping[str, Any]]] = iter(shown)
        self._now: list[Mapping[str, Any]] = []
        self.looks = 0

    def get(self, path: str, timeout: float = 10.0) -> Any:
        """See ControlApi."""
        if path.startswith("/api/v1/events"):
            return {"cursor": "", "events": []}
        self.looks += 1
        self._now = next(self._shown, self._now)
        return {"deployments": self._now}

    def call(self, method: str, path: str, body: Any = None, timeout: float = 60.0) -> Any:
        """See ControlApi."""
        return {"asked": path}


def followed(*shown: list[Mapping[str, Any]], timeout: float = 60.0) -> Settled:
    """How a rollout of `web`, the second, ends that is shown like that."""
    api = Scripted(*shown)
    return follow(api, Followed(("web",), {"web": 2}, frozenset({"web"})), "", timeout)


def test_what_is_settled_has_not_failed() -> None:
    """After it was under way."""
    settled = followed([one(settled=False, status="deploying")], [one()])
    assert [each["status"] for each in settled.deployments] == ["ready"]
    assert settled.failed == ()


def test_it_is_over_once_gateways_have_taken_it_over(capsys: pytest.CaptureFixture[str]) -> None:
    """A call right after it must find what was deployed."""
    api = Scripted([one(gateways_behind=["g"])], [one(gateways_behind=["g"])], [one(gateways_behind=["g"])], [one()])

    follow(api, Followed(("web",)), "", 60.0)

    assert api.get("/api/v1/deployments") == {"deployments": [one()]}
    assert capsys.readouterr().err == ""


def test_calls_are_held_once_gateways_have_taken_it_over() -> None:
    """Whoever calls after the command finds what it says."""
    api = Scripted(*[[one(gateways_behind=["g"])]] * 3, [one()])

    assert routed(api, "web", "hold-traffic") == {"asked": "/api/v1/deployments/web/hold-traffic"}
    assert api.get("/api/v1/deployments") == {"deployments": [one()]}
    assert api.looks == 5


def test_a_gateway_that_is_stuck_holds_nobody_up_for_ever(capsys: pytest.CaptureFixture[str]) -> None:
    """What it is late with is said, and the rollout is as good as it is."""
    api = Scripted([one(gateways_behind=["g"])])

    settled = follow(api, Followed(("web",), gateways_patience=0.1), "", 60.0)

    assert settled.failed == ()
    assert "g did not take over the newest routes in time" in capsys.readouterr().err


@pytest.mark.parametrize(
    "end",
    [
        {"status": "failed", "rollout_state": "failed"},
        {"status": "degraded"},
        {"rollout_state": "aborted"},
        {"rollout_state": "failed"},
    ],
)
def test_what_was_taken_back_has_failed(end: Mapping[str, Any]) -> None:
    """Also where the version before serves as well as ever, and whoever took it back."""
    assert len(followed([one(**end)]).failed) == 1


def test_an_abort_that_was_asked_for_is_no_failure() -> None:
    """Only a rollout that was meant to come to its end fails by being taken back."""
    assert Settled((one(rollout_state="aborted"),)).failed == ()


def test_a_newer_rollout_ends_the_wait_with_a_status_of_its_own() -> None:
    """It may go on for long, and is not what was asked for."""
    with pytest.raises(Superseded) as caught:
        followed([one(settled=False)], [one(settled=False, generation=3)])

    assert output.exit_code(caught.value) == output.SUPERSEDED == 4
    assert "flashcore rollout status web --follow" in str(caught.value)


def test_what_is_taken_down_or_late_is_said() -> None:
    """By type, with the reason it gave last."""
    with pytest.raises(Refused, match="taken down"):
        followed([one(settled=False)], [])
    with pytest.raises(DeadlineExceeded, match="no GPU") as caught:
        followed([one(settled=False, status="deploying", reason="no GPU")], timeout=0.0)
    assert output.exit_code(caught.value) == 3


def test_detaching_says_how_to_come_back(capsys: pytest.CaptureFixture[str]) -> None:
    """For each endpoint."""
    with pytest.raises(SystemExit) as left:
        detach(["web", "jobs"])

    said = capsys.readouterr().err
    assert left.value.code == 130
    assert said.index("flashcore rollout status jobs --follow") < said.index("flashcore rollout status web --follow")


class Busy(Scripted):
    """A control plane with a log."""

    def get(self, path: str, timeout: float = 10.0) -> Any:
        """See ControlApi."""
        answer = super().get(path, timeout)
        if not path.startswith("/api/v1/events"):
            return answer
        happened = [("web", "replica.ready"), ("other", "replica.failed_to_start"), (None, "token.created")]
        return {"cursor": "", "events": [{"endpoint": name, "kind": kind, "message": ""} for name, kind in happened]}


def test_only_what_is_followed_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    """What happens to other endpoints meanwhile is not what was asked for."""
    follow(Busy([one(settled=False)], [one()]), Followed(("web",)), "", 5.0)

    told = capsys.readouterr().err
    assert "web  ready" in click.unstyle(told)
    assert "other" not in told
    assert "token" not in told


def test_what_is_waited_for_is_said_where_nothing_happens(capsys: pytest.CaptureFixture[str]) -> None:
    """Once: a deploy without a terminal was silent until its time was over."""
    no_room = one(settled=False, status="deploying", reason="web-1 is pending: no room\n  and more")
    starting = one(settled=False, status="deploying", reason="web-1 is warming up")

    followed([no_room], [no_room], [no_room], [starting], [one(settled=False, status="deploying")], [one()])

    assert click.unstyle(capsys.readouterr().err).splitlines() == [
        "  web  still deploying: web-1 is pending: no room",
        "  web  still deploying: web-1 is warming up",
    ]
