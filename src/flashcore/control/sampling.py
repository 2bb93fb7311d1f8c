"""Asking the scaler, when what it looks at has changed."""

from __future__ import annotations

from flashcore.control.company import Company
from flashcore.control.consult import PartFailed
from flashcore.control.goals import PERSON
from flashcore.control.records import Records
from flashcore.control.scaling import Autoscaler, load_of
from flashcore.control.services import Services
from flashcore.hookspecs.scalers import ScaleView
from flashcore.model.deployment import Deployment, DeploymentStatus
from flashcore.model.names import EndpointName

_ENDING = frozenset({DeploymentStatus.DESTROYING, DeploymentStatus.DESTROYED})


class Sampling:
    """One deployment's scaler, its last word, and when to ask for another."""

    def __init__(self, endpoint: EndpointName, services: Services, company: Company) -> None:
        self.desired: int | None = None
        """How many replicas there should be; None while the scaler has no say."""
        self.trouble: str | None = None
        """Why the scaler's word was not taken; the last good one stands."""
        self.look_again: float | None = None
        self._endpoint = endpoint
        self._services = services
        self._company = company
        self._autoscaler: Autoscaler | None = None
        self._asked_about: object = None

    async def sample(self, records: Records) -> None:
        """Bring `desired` up to date."""
        deployment, now = records.deployment, self._services.clock.now()
        signals = self._services.dataplane.signals(self._endpoint)
        if not signals or deployment.goal_by == PERSON or deployment.status in _ENDING:
            self.desired = self.look_again = self.trouble = None
            self._autoscaler = None
            return
        rollout = deployment.rollout
        preview = rollout.target if rollout is not None and rollout.previews and deployment.stable else None
        load = load_of(signals, preview)
        ready = sum(replica.ready for replica in records.replicas.values() if replica.revision != preview)
        about = (load, ready, deployment.goal, deployment.policy_digest)
        if about == self._asked_about and (self.look_again is None or now < self.look_again):
            return
        self._asked_about = about
        if self._autoscaler is None:
            self._autoscaler = Autoscaler(deployment.goal, now)
        view = ScaleView(
            endpoint=self._endpoint,
            now=now,
            goal=deployment.goal,
            ready=ready,
            bounds=deployment.policy.replicas,
            in_flight=load.in_flight,
            queued=load.queued,
            oldest_queued=load.oldest_queued,
            idle_for=self._autoscaler.idle_for(load, now),
            idle_timeout=deployment.policy.idle_timeout,
            max_concurrency=_concurrency(deployment, records),
        )
        await self._heed(view, deployment, self._autoscaler)
        self.look_again = self._autoscaler.next_look(load, now, deployment.policy.idle_timeout)

    async def _heed(self, view: ScaleView, deployment: Deployment, autoscaler: Autoscaler) -> None:
        try:
            wanted = await self._company.desired(deployment, view)
        except PartFailed as failed:
            self.trouble = str(failed.problem)
            return
        self.trouble = None
        self.desired = autoscaler.heed(wanted, view.now, deployment.policy.idle_timeout)


def _concurrency(deployment: Deployment, records: Records) -> int:
    """Calls that one replica of the revision that serves, or will, works on at the same time."""
    named = deployment.stable or (deployment.rollout.target if deployment.rollout else None)
    revision = records.revisions.get(named) if named else None
    return revision.content.template.max_concurrency if revision else 1
