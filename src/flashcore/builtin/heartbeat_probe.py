"""The probe `heartbeat`: the replica's own connection says that it lives, and what it does."""

from __future__ import annotations

from flashcore.hookspecs.probes import Answer, Finding, ProbeTarget
from flashcore.model.parts import Heartbeat
from flashcore.wire.hello import Stage

WARMING = frozenset({Stage.STARTING, Stage.LOADING})
"""Stages in which silence and "not yet" count neither way."""


class HeartbeatProbing:
    """Asks nobody: the provider has heard it already."""

    def __init__(self, options: Heartbeat) -> None:
        del options  # it has none to look at

    async def probe(self, target: ProbeTarget, timeout: float) -> Finding:  # noqa: ARG002 - nothing is waited for
        """Connected and ready is well; loading is neutral; all else is failing."""
        running = target.running
        if not running.connected:
            return Finding(Answer.FAILING, "the replica cannot be heard")
        if running.stage is Stage.READY:
            return Finding(Answer.OK)
        if running.stage in WARMING:
            return Finding(Answer.NEUTRAL, f"it is {running.stage.value}")
        return Finding(Answer.FAILING, running.detail or f"it is {running.stage.value}")
