"""The probe `exec`: run a command beside the replica."""

from __future__ import annotations

from flashcore.builtin.reaching import unreached
from flashcore.hookspecs.probes import Answer, Finding, ProbeTarget
from flashcore.model.errors import DeadlineExceeded, NotFound
from flashcore.model.parts import ExecProbe

LONGEST_DETAIL = 500
"""Characters of output that are told."""


class ExecProbing:
    """Needs a provider that can run commands where its replicas are."""

    def __init__(self, options: ExecProbe) -> None:
        self._command = options.command

    async def probe(self, target: ProbeTarget, timeout: float) -> Finding:
        """Exit status 0 is well; another one, and no end in time, are failing."""
        try:
            status, output = await target.provider.execute(target.replica, self._command, timeout)
        except (DeadlineExceeded, NotFound, OSError) as error:
            return unreached(target, error)
        if status == 0:
            return Finding(Answer.OK)
        return Finding(Answer.FAILING, f"{self._command[0]} ended with {status}: {output.strip()[-LONGEST_DETAIL:]}")
