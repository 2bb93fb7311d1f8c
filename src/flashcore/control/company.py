"""The parts that one deployment is decided and watched by: made once for each policy, apart from everything else."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from flashcore.control.consult import Advice, Advisors, Calling, PartFailed, Problem, Question, consult
from flashcore.control.isolation import Isolation
from flashcore.control.parts import Parts, advisors_of
from flashcore.control.scaling import ask
from flashcore.hookspecs.probes import Probe
from flashcore.hookspecs.scalers import Scaler, ScaleView
from flashcore.model.deployment import Deployment
from flashcore.model.errors import FlashcoreError
from flashcore.model.names import EndpointName
from flashcore.model.parts import PartRef

MOST_PROBES = 4
"""Probes that are kept made: as many as there are revisions at a time, but for the rarest of cases."""

T = TypeVar("T")


class Company:
    """A part that cannot be made or asked is a problem of this deployment alone, and is named."""

    def __init__(self, endpoint: EndpointName, parts: Parts, isolation: Isolation) -> None:
        self._endpoint = endpoint
        self._parts = parts
        self._isolation = isolation
        self._advisors: tuple[str, Advisors] | None = None
        self._probes: tuple[tuple[PartRef, Probe], ...] = ()
        self._scaler: tuple[object, Scaler] | None = None

    async def advise(self, deployment: Deployment, question: Question) -> Advice:
        """What strategy and gates say; a problem where they cannot be asked."""

        def work(calling: Calling) -> Advice:
            calling(f"strategy {deployment.policy.strategy.name!r}")
            return consult(question, self._advisors_for(deployment), calling)

        try:
            return await self._isolation.call(self._endpoint, work)
        except PartFailed as failed:
            return Advice(problem=failed.problem)
        except FlashcoreError as error:
            return Advice(problem=Problem(f"strategy {deployment.policy.strategy.name!r}", error.message))

    async def desired(self, deployment: Deployment, view: ScaleView) -> int:
        """What the scaler wants. Raises PartFailed."""
        ref = deployment.surface.scaler

        def work(calling: Calling) -> int:
            calling(f"scaler {ref.name!r}")
            if self._scaler is None or self._scaler[0] != ref:
                self._scaler = (ref, self._parts.scalers.make(ref))
            return ask(self._scaler[1], ref.name, view)

        return await self._made(f"scaler {ref.name!r}", work)

    async def probe(self, ref: PartRef) -> Probe:
        """The probe that a revision was declared with. Raises PartFailed."""
        for known, probe in self._probes:
            if known == ref:
                return probe
        made = await self._made(f"probe {ref.name!r}", lambda calling: self._parts.probes.make(ref))  # noqa: ARG005  # the part is named already
        self._probes = (*self._probes[-MOST_PROBES + 1 :], (ref, made))
        return made

    async def _made(self, who: str, work: Callable[[Calling], T]) -> T:
        try:
            return await self._isolation.call(self._endpoint, work)
        except FlashcoreError as error:
            raise PartFailed(Problem(who, error.message)) from error

    def _advisors_for(self, deployment: Deployment) -> Advisors:
        if self._advisors is None or self._advisors[0] != deployment.policy_digest:
            self._advisors = (deployment.policy_digest, advisors_of(self._parts, deployment.policy))
        return self._advisors[1]
