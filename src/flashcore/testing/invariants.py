"""The invariants of a controller, checked at every commit, every table and every stop in a simulated world.

I1  we never lower the ready capacity of what carries traffic below min(what it is, the budget's floor)
I2  we never make more replicas than the budget allows
I3  shares sum to 100, and none rests on a side without a replica while another side has one
I4  only a stable revision and the target of a rollout that is under way get new replicas
I5  an endpoint that is taken down gets none
and no replica is stopped while a gateway may still send it calls, unless that gateway had its time
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from flashcore.control.drain import CAP
from flashcore.control.readmodel import DeploymentView
from flashcore.hookspecs.providers import Running
from flashcore.model.deployment import DeploymentStatus, RolloutState
from flashcore.model.errors import NotFound
from flashcore.model.events import Event
from flashcore.model.names import EndpointName, ReplicaId, RevisionId
from flashcore.model.table import EndpointRoute, RoutingTable
from flashcore.testing.conformance import Nonconformance
from flashcore.testing.simulation import World
from flashcore.wire.hello import Stage

_ENDING = frozenset({DeploymentStatus.DESTROYING, DeploymentStatus.DESTROYED})


@dataclass(frozen=True, slots=True)
class Moment:
    """What matters of a deployment at one commit."""

    view: DeploymentView
    serving: frozenset[ReplicaId]
    """Ready replicas of sides that carry traffic."""
    live: frozenset[tuple[ReplicaId, RevisionId]]


def _nobody_cares(_one: object) -> None:
    """For invariants that nobody watches."""


class Invariants:
    """Attached to a world it writes down every breach. Call `require_kept` in the end."""

    def __init__(self, world: World) -> None:
        self.breaches: list[str] = []
        self.commits = 0
        """Commits that changed something of a deployment."""
        self._world = world
        self.seen: Callable[[Moment], None] = _nobody_cares
        """Told of each deployment as it is after a commit."""
        self.breached: Callable[[str], None] = _nobody_cares
        """Told of each breach."""
        self._last: dict[EndpointName, Moment] = {}
        world.told = self._note
        world.provider.told_to_stop = self._stop
        world.dataplane.told = self._publish

    def require_kept(self) -> None:
        """Raise Nonconformance with all breaches, if there were any."""
        if self.breaches:
            raise Nonconformance("\n".join(self.breaches))

    def breach(self, text: str) -> None:
        """Write a breach down."""
        self.breaches.append(text)
        self.breached(text)

    def forget(self) -> None:
        """The controller was started again: its first commit is compared with nothing."""
        self._last.clear()

    def _note(self, event: Event) -> None:
        if event.endpoint is None:
            return
        try:
            view = self._world.view(event.endpoint)
        except NotFound:
            return
        before = self._last.get(event.endpoint)
        if before is not None and before.view is view:
            return
        now = _moment(view)
        self._last[event.endpoint] = now
        if before == now:
            return
        if before is None:
            self.seen(now)
            return
        self.commits += 1
        self.seen(now)
        self._check_created(before, now)
        if now.view.status not in _ENDING:
            self._check_capacity(before, now)

    def _check_created(self, before: Moment, now: Moment) -> None:
        created = {revision for _, revision in now.live - before.live}
        if not created:
            return
        view, rollout = now.view, now.view.rollout
        under_way = rollout is not None and not rollout.state.finished
        self._require(view.status not in _ENDING, "I5: replicas were made for an endpoint that is taken down", now)
        allowed = {view.stable} if view.stable else set()
        if rollout is not None and (under_way and rollout.state is not RolloutState.RESTORING):
            allowed.add(rollout.target)
        self._require(created <= allowed, f"I4: replicas were made of {created}, only {allowed} may grow", now)
        if rollout is not None and under_way:
            most = rollout.budget.max_existing
            self._require(len(now.live) <= most, f"I2: {len(now.live)} replicas, {most} may exist", now)

    def _check_capacity(self, before: Moment, now: Moment) -> None:
        stopped = before.serving - now.serving
        lost = {replica for replica in stopped if not self._is_well(replica)}
        if stopped == lost:
            return
        floor = min(_floor(before.view), _floor(now.view), len(before.serving) - len(lost))
        text = f"I1: {len(now.serving)} replicas serve after {len(before.serving)}, {floor} are needed"
        self._require(len(now.serving) >= floor, text, now)

    def _is_well(self, replica: ReplicaId) -> bool:
        """Whether the world had nothing against it: if it stopped serving, that was our doing."""
        state = self._world.provider.state(replica)
        well = isinstance(state, Running) and state.stage is Stage.READY
        return well and not self._world.probe.suspects(replica)

    def _stop(self, replica: ReplicaId) -> None:
        endpoint = EndpointName(replica.rsplit("-", 2)[0])
        try:
            view = self._world.view(endpoint)
        except NotFound:
            return
        record = next((one for side in view.sides for one in side.replicas if one.id == replica), None)
        if record is not None and self._world.clock.now() >= record.phase_since + CAP:
            return
        if replica in self._world.dataplane.serving(endpoint):
            self.breach(f"{replica} is stopped while a gateway may send it calls")

    def _publish(self, table: RoutingTable) -> None:
        for route in table.endpoints:
            shares = [side.weight for side in route.sides if not side.preview]
            if shares and None not in shares:
                whole = sum(share or 0 for share in shares)
                self._require(whole == 100, f"I3: the shares of {route.name} sum to {whole}", None)
            self._require(not _rests_on_nothing(route), f"I3: a side of {route.name} has calls and no replica", None)

    def _require(self, condition: bool, text: str, moment: Moment | None) -> None:  # noqa: FBT001  # as an assertion
        if not condition:
            self.breach(f"{text}{_shape(moment) if moment else ''}")


def _moment(view: DeploymentView) -> Moment:
    serving = {one.id for side in view.sides if side.share != 0 for one in side.replicas if one.ready}
    live = {(one.id, one.revision) for side in view.sides for one in side.replicas if one.live}
    return Moment(view, frozenset(serving), frozenset(live))


def _floor(view: DeploymentView) -> int:
    """The ready replicas that must be left of those that carry traffic."""
    rollout = view.rollout
    if rollout is None or rollout.state.finished:
        return view.goal
    return 0 if rollout.initial else min(rollout.budget.min_ready, view.goal)


def _rests_on_nothing(route: EndpointRoute) -> bool:
    somebody = any(side.replicas for side in route.sides)
    return somebody and any(side.weight and not side.replicas for side in route.sides)


def _shape(moment: Moment) -> str:
    view, rollout = moment.view, moment.view.rollout
    sides = ", ".join(f"{side.role} {side.live} live {side.ready} ready {side.share}" for side in view.sides)
    about = f"{rollout.state.value} {rollout.budget} {rollout.traffic} {rollout.step!r}" if rollout else "no rollout"
    return f" [goal {view.goal}; {about}; {sides}]"
