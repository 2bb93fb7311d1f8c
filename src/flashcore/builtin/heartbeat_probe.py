"""The probe `heartbeat`: what a replica says of itself over its own connection."""

from __future__ import annotations

from flashcore.hookspecs.probes import Answer, Finding, ProbeTarget
from flashcore.wire.hello import Stage

_LOADING = frozenset({Stage.STARTING, Stage.LOADING})


class HeartbeatProbing:
    """Believes the replica while its provider is in touch with it."""

    def __init__(self, options: object = None) -> None:
        """There is nothing to set; the declaration form has no fields."""

    async def probe(self, target: ProbeTarget, timeout: float) -> Finding:  # noqa: ARG002 - nothing is waited for
        """OK when it is connected and ready, NEUTRAL while it loads, FAILING otherwise."""
        running = target.running
        if not running.connected:
            return Finding(Answer.FAILING, "its connection is gone")
        if running.stage in _LOADING:
            return Finding(Answer.NEUTRAL, running.stage.value)
        if running.stage is Stage.READY:
            return Finding(Answer.OK)
        return Finding(Answer.FAILING, running.detail or running.stage.value)
