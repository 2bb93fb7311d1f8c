"""The same scenario with real processes: a project is written for it, deployed on this machine, called, and watched.

What cannot be done for real is refused by name before anything is started. Times are what they are: two runs are never
the same, chances are drawn by each replica as it starts, and load is offered one request after the other.
"""

from __future__ import annotations

import contextlib
import json
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil

from flashcore.model.errors import Refused
from flashcore.model.parts import BUILTIN_FORMS
from flashcore.presence import read_presence
from flashcore.testing.open_loop import Call, OpenLoop
from flashcore.testing.project import ProjectUnderTest
from flashcore.testing.scenario.app import app_of
from flashcore.testing.scenario.chance import NEVER
from flashcore.testing.scenario.outcome import EndpointResult, RolloutResult, RunResult, unmet
from flashcore.testing.scenario.values import Action, Endpoint, Scenario, What

POLL = 0.1
"""Seconds between two looks at what is deployed."""
_SIMULATED_ONLY = frozenset({What.CLOCK_JUMP, What.PARTITION, What.PLACES, What.LOSE_REPLICA, What.UNWELL_REPLICA})


def require_real(scenario: Scenario) -> None:
    """Raise Refused, naming everything in the scenario that there is no real counterpart of."""
    found = list(dict.fromkeys(_impossible(scenario)))
    if found:
        raise Refused(
            f"{scenario.name} cannot be run with real processes: {'; '.join(found)}",
            next_step="run it without --real, or take these out",
            impossible=found,
        )


def _impossible(scenario: Scenario) -> Iterator[str]:
    for i, action in enumerate(scenario.actions):
        if action.do in _SIMULATED_ONLY:
            yield f"actions[{i}]: {action.do.value}"
    if scenario.gateways > 1:
        yield f"gateways = {scenario.gateways}: a platform on one machine has one"
    if scenario.places is not None or scenario.hard_quota:
        yield "provider: this machine has as many places as it has"
    for load in scenario.loads:
        if load.preview:
            yield f"load of {load.endpoint}: preview"
        if scenario.endpoint(load.endpoint).resource != "load_balanced":
            yield f"load of {load.endpoint}: only load-balanced endpoints are called"
        if len({rate for _, rate in load.points}) > 1:
            yield f"load of {load.endpoint}: a rate that changes; rate = R can be offered"
    for endpoint in scenario.endpoints:
        yield from _impossible_endpoint(endpoint)


def _impossible_endpoint(endpoint: Endpoint) -> Iterator[str]:
    for number, version in endpoint.versions.items():
        if version.unwell.first != NEVER:
            yield f"endpoints.{endpoint.name}.versions.{number}: unwell"
    refs = [endpoint.policy.strategy, *(ref for gates in endpoint.policy.gates.values() for ref in gates)]
    for ref in refs:
        if ref.name not in BUILTIN_FORMS.values():
            yield f"endpoints.{endpoint.name}: {ref.name!r}, which is not built in"


@dataclass(slots=True)
class RealRun:
    """One run of a scenario on a platform of its own."""

    scenario: Scenario
    project: ProjectUnderTest
    versions: dict[str, int] = field(default_factory=dict)
    """The version that each endpoint was given last."""
    steps: list[tuple[float, str]] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)
    loads: dict[str, OpenLoop] = field(default_factory=dict)
    samples: dict[str, list[tuple[int, int, int]]] = field(default_factory=dict)
    """Of each endpoint: goal, ready, live, at each look."""
    revisions: dict[str, dict[str, int]] = field(default_factory=dict)
    """Of each endpoint the version of each revision."""
    began: float = field(default_factory=time.time)

    def run(self) -> RunResult:
        """All of it."""
        with ExitStack() as stack:
            for action in self.scenario.actions:
                self._watch_until(action)
                self._act(action, stack)
            while time.time() - self.began < self.scenario.duration or not self._is_settled():
                if time.time() - self.began > self.scenario.timeout:
                    break
                time.sleep(POLL)
        return self._result()

    def _watch_until(self, action: Action) -> None:
        while time.time() < self.began + action.at:
            self._look()
            time.sleep(POLL)
        deadline = time.time() + self.scenario.timeout
        while action.when and time.time() < deadline:
            seen = self._look().get(action.endpoint)
            if seen is not None and (seen["settled"] if action.when == "settled" else seen["status"] == action.when):
                return
            time.sleep(POLL)

    def _look(self) -> Mapping[str, Any]:
        try:
            found = {one["endpoint"]: one for one in self._api("GET", "deployments")["deployments"]}
        except (urllib.error.URLError, OSError):
            return {}
        for name in found:
            with contextlib.suppress(urllib.error.URLError, OSError):
                self._sample(name, self._api("GET", f"deployments/{name}"))
        return found

    def _sample(self, name: str, details: Mapping[str, Any]) -> None:
        live = sum(side["live"] for side in details["sides"])
        self.samples.setdefault(name, []).append((details["goal"], details["ready"], live))
        known = self.revisions.setdefault(name, {})
        if details["rollout"] is not None:
            known.setdefault(details["rollout"]["target"], self.versions.get(name, 0))

    def _is_settled(self) -> bool:
        found = self._look()
        return bool(found) and all(one["settled"] for one in found.values())

    def _act(self, action: Action, stack: ExitStack) -> None:
        self.steps.append((time.time() - self.began, f"{action.do.value} {action.endpoint}".rstrip()))
        match action.do:
            case What.DEPLOY:
                self._deploy(action, stack)
            case What.KILL_REPLICA:
                self._kill_replica(action)
            case What.KILL_CONTROLLER:
                self._kill_controller(action.seconds)
            case What.UNDEPLOY:
                self.project.must("undeploy", action.endpoint)
            case What.SCALE:
                self._operate(action, {"replicas": action.replicas})
            case _:
                self._operate(action, None)

    def _deploy(self, action: Action, stack: ExitStack) -> None:
        self.versions[action.endpoint] = action.version
        self.project.write("app.py", app_of(self.scenario, self.versions))
        before = self._generation(action.endpoint)
        process = self.project.start("deploy")
        stack.enter_context(process)
        while process.poll() is None and self._generation(action.endpoint) == before:
            time.sleep(POLL)
        if process.poll() not in (None, 0):
            said = process.stderr.read().strip() if process.stderr else ""
            self.refused.append(f"deploy v{action.version}: {said}")
        for load in self.scenario.loads:
            if load.endpoint == action.endpoint and load.endpoint not in self.loads:
                self._offer(load.endpoint, load.points[0][1], process.wait, stack)

    def _offer(self, endpoint: str, rate: float, wait: Any, stack: ExitStack) -> None:
        """Begin to call an endpoint as soon as it is there."""
        wait()
        load = OpenLoop(self.project.url(), rate=rate, calls=(Call(f"/{endpoint}/"), Call(f"/{endpoint}/", fresh=True)))
        self.loads[endpoint] = stack.enter_context(load)

    def _generation(self, endpoint: str) -> int:
        return int(self._look().get(endpoint, {"generation": 0})["generation"])

    def _operate(self, action: Action, body: Mapping[str, Any] | None) -> None:
        try:
            self._api("POST", f"deployments/{action.endpoint}/{action.do.value.replace('_', '-')}", body)
        except urllib.error.HTTPError as error:
            said = json.loads(error.read())
            self.refused.append(f"{action.do.value}: {said.get('error', said).get('message', said)}")

    def _kill_replica(self, action: Action) -> None:
        details = self._api("GET", f"deployments/{action.endpoint}")
        running = [one["id"] for one in details["replicas"] if one["phase"] == "running"]
        if not running:
            return
        victim = running[action.replica % len(running)]
        for process in self.project.processes():
            with contextlib.suppress(psutil.NoSuchProcess):
                if victim in " ".join([*process.cmdline(), *process.environ().values()]):
                    process.kill()

    def _kill_controller(self, seconds: float) -> None:
        presence = read_presence(self._home() / "server.json")
        if presence is not None:
            psutil.Process(presence.pid).kill()
            presence.ended_within(self.scenario.timeout)
        time.sleep(seconds)
        self.project.must("server", "start")

    def _home(self) -> Path:
        return self.project.root / ".flashcore/environments/production"

    def _api(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> Any:
        presence = read_presence(self._home() / "server.json")
        if presence is None:
            raise OSError("the control plane is not there")
        request = urllib.request.Request(  # noqa: S310  # our own control plane
            f"{presence.url}/api/v1/{path}",
            method=method,
            data=None if body is None else json.dumps(body).encode(),
            headers={"Authorization": f"Bearer {self._token()}", "Content-Type": "application/json"},
        )
        with urllib.request.urlopen(request, timeout=10) as answer:  # noqa: S310  # as above
            return json.loads(answer.read() or b"null")

    def _token(self) -> str:
        found = next(iter(sorted((self.project.root / ".flashcore").rglob("token"))))
        return found.read_text(encoding="utf-8").strip()

    # What it came to

    def _result(self) -> RunResult:
        events = self._api("GET", "events/last?count=5000")["events"]
        endpoints = tuple(self._endpoint(endpoint.name, events) for endpoint in self.scenario.endpoints)
        moving = {name: one for name, one in self._look().items() if not one["settled"]}
        stuck = [f"{name} is {one['status']}: {one['reason']}" for name, one in moving.items()]
        return RunResult(
            scenario=self.scenario.name,
            seed=0,
            seconds=round(time.time() - self.began, 3),
            commits=len({event["at"] for event in events}),
            digest="",
            endpoints=endpoints,
            breaches=(),
            unmet=tuple(unmet(self.scenario.expects, endpoints)),
            stuck=tuple(stuck),
            refused=tuple(self.refused),
            codes={},
            trace=tuple(self._trace(events)),
        )

    def _trace(self, events: list[Mapping[str, Any]]) -> Iterator[str]:
        lines = [(at, f"-- {what}") for at, what in self.steps]
        lines += [(one["at"] - self.began, f"{one['kind']} {one['endpoint'] or ''} {one['message']}") for one in events]
        for at, text in sorted(lines):
            yield f"{at:10.3f} {text.rstrip()}"

    def _endpoint(self, name: str, events: list[Mapping[str, Any]]) -> EndpointResult:
        details = self._look() and self._api("GET", f"deployments/{name}")
        samples, load = self.samples.get(name, []), self.loads.get(name)
        whole = next((i for i, (goal, ready, _) in enumerate(samples) if ready >= goal > 0), None)
        mine = [event for event in events if event["endpoint"] == name]
        return EndpointResult(
            endpoint=name,
            status=details["status"],
            reason=details["reason"],
            version=self.revisions.get(name, {}).get(details["revision"]),
            goal=details["goal"],
            ready=details["ready"],
            min_ready=None if whole is None else min(ready for _, ready, _ in samples[whole:]),
            max_existing=max((live for _, _, live in samples), default=0),
            failures=sum(event["kind"] == "replica.failed_to_start" for event in mine),
            offered=load.tally.offered if load else 0,
            answered=load.tally.answered if load else 0,
            errors=load.tally.failures["500"] if load else 0,
            failed=load.tally.lost - load.tally.failures["500"] if load else 0,
            rollouts=tuple(self._rollouts(name, mine)),
        )

    def _rollouts(self, name: str, events: list[Mapping[str, Any]]) -> Iterator[RolloutResult]:
        begun: Mapping[str, Any] | None = None
        for number, event in enumerate(e for e in events if e["kind"].startswith("rollout.")):
            kind = event["kind"].removeprefix("rollout.")
            if kind == "started":
                begun = event
            elif kind in ("done", "failed", "aborted") and begun is not None:
                version = self.revisions.get(name, {}).get(begun["revision"], 0)
                seconds = round(event["at"] - begun["at"], 3)
                yield RolloutResult(number, version, kind, seconds, event["message"], initial=begun is events[0])
                begun = None


def run_real(scenario: Scenario) -> RunResult:
    """Run it in a project of its own, and leave nothing behind. Raises Refused for what cannot be done for real."""
    require_real(scenario)
    with tempfile.TemporaryDirectory(prefix="flashcore-") as folder:
        project = ProjectUnderTest(Path(folder) / "scenario")
        project.write("flashcore.toml", 'app = "scenario"\n')
        try:
            return RealRun(scenario, project).run()
        finally:
            project.run("undeploy", "--all")
            project.run("server", "stop")
