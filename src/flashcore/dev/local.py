"""Where replicas of a session run, and what that makes of a manifest: the code as declared, one replica each."""

from __future__ import annotations

import dataclasses
from enum import Enum

from flashcore.canonical import digest
from flashcore.model.declaration import Bounds, Policy, Template
from flashcore.model.manifest import EndpointEntry, Manifest

REMOVAL_GRACE = 5.0
"""Seconds that calls of an endpoint have that is not declared any more."""


class Where(Enum):
    """Where replicas run."""

    HERE = "here"
    """On this machine, whatever it is."""
    ELSEWHERE = "elsewhere"
    """At the project's provider."""

    def adapt(self, manifest: Manifest) -> Manifest:
        """What is run there of a manifest."""
        return for_this_machine(manifest) if self is Where.HERE else for_elsewhere(manifest)


def for_this_machine(manifest: Manifest) -> Manifest:
    """The same endpoints without hardware, provider, strategy and gates."""
    return dataclasses.replace(manifest, endpoints=tuple(_entry(entry, remote=False) for entry in manifest.endpoints))


def for_elsewhere(manifest: Manifest) -> Manifest:
    """The same endpoints, one replica each, on the hardware that they declare."""
    return dataclasses.replace(manifest, endpoints=tuple(_entry(entry, remote=True) for entry in manifest.endpoints))


def _entry(entry: EndpointEntry, *, remote: bool) -> EndpointEntry:
    template, policy = entry.template if remote else _template(entry.template), _policy(entry.policy)
    return dataclasses.replace(
        entry,
        template=template,
        policy=policy,
        template_digest=digest(template),
        policy_digest=digest(policy),
    )


def _template(template: Template) -> Template:
    """No hardware; and no parent to be forked from, which for one replica is a detour."""
    return dataclasses.replace(
        template, cpu=None, memory=None, gpu=None, gpu_count=0, datacenter=(), image=None, provider=None, warm=False
    )


def _policy(policy: Policy) -> Policy:
    """One replica, replaced by the usual strategy: the new one is there before the old one goes.

    The old one may finish what it works on, however long that takes.
    """
    usual = Policy()
    return dataclasses.replace(
        policy,
        replicas=Bounds(1, 1),
        strategy=usual.strategy,
        gates={},
        scaler=None,
        termination_grace=max(policy.termination_grace, policy.execution_timeout),
        revision_history=1,
    )
