"""The resource type `worker_script`: calls are jobs, done by a script that was written for RunPod's package."""

from __future__ import annotations

from collections.abc import Iterator

from flashcore.hookspecs.resources import Defaults, Ingress
from flashcore.model.declaration import Declaration, Template
from flashcore.model.manifest import FunctionEntry
from flashcore.model.parts import PartRef


class ScriptResource:
    """Endpoints whose jobs are done by a script that is run as it is."""

    @property
    def ingress(self) -> Ingress:
        """Through the job API."""
        return Ingress.JOBS

    @property
    def defaults(self) -> Defaults:
        """As for a queue: the replica stands between the script and the gateway."""
        return Defaults("worker_script", PartRef("heartbeat"), PartRef("queue_delay"), PartRef("p2c"))

    @property
    def unfit_scalers(self) -> frozenset[str]:
        """Requests are not jobs."""
        return frozenset({"request_count"})

    def problems(self, declaration: Declaration, functions: tuple[FunctionEntry, ...]) -> Iterator[str]:
        """No script, and what is the script's own to say."""
        script = declaration.template.script
        if script is None:
            yield "it has no script: name the file that ends in runpod.serverless.start(...), as in script='worker.py'"
        elif not script.endswith(".py") or script.startswith(("/", "..")):
            yield f"its script is a Python file of the project, by its path from the root, not {script!r}"
        if functions:
            yield "it has functions, but its script does the jobs: give them to a QueueEndpoint"
        if declaration.template.max_concurrency != Template().max_concurrency:
            yield "it has a max_concurrency, but the script's own concurrency_modifier decides that"
        if declaration.policy.routing is not None:
            yield "it has a routing policy, but replicas of a queue take jobs as they are free"
