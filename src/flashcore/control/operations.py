"""Deploying: from a manifest to wishes that the loops can take over; all is checked before anything happens."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from flashcore.canonical import digest
from flashcore.control.check import nonsense_in_budget
from flashcore.control.commands import Wish
from flashcore.control.consult import Calling, PartFailed
from flashcore.control.parts import Parts, advisors_of
from flashcore.control.planning import Plan, plan_of
from flashcore.control.readmodel import DeploymentView
from flashcore.control.services import Services
from flashcore.hookspecs.artifacts import ArtifactStore
from flashcore.model.declaration import Declaration, require_sound
from flashcore.model.deployment import Deployment, DeploymentStatus, Surface
from flashcore.model.errors import InvalidOptions, NotFound, PluginError, Refused
from flashcore.model.manifest import EndpointEntry, Manifest
from flashcore.model.names import EndpointName, RevisionId, endpoint_name
from flashcore.model.parts import PartRef
from flashcore.model.revision import RevisionContent, content_of

AmendEnv = Callable[[RevisionContent, Mapping[str, str]], Mapping[str, str]]
"""The environment of a revision's replicas as plugins leave it; raises what a plugin raises."""

_NEEDS = {"needs_percent_traffic": "percent_traffic", "needs_individual": "individual"}
"""What a strategy's record may say that it needs, and the provider's capability that gives it."""


@dataclass(frozen=True, slots=True)
class Deployer:
    """What is needed to tell whether a manifest can be deployed here."""

    services: Services
    artifacts: ArtifactStore
    amend_env: AmendEnv

    async def wishes(self, manifest: Manifest, names: Iterable[str] | None = None) -> tuple[Wish, ...]:
        """A wish for each endpoint, or for those named.

        Raises NotFound, InvalidDeclaration, UnknownPart, InvalidOptions, PluginError or Refused for the first that
        cannot be deployed; nothing has happened then.
        """
        entries = chosen(manifest, names)
        for entry in entries:
            await self._require_artifact(entry)
        return tuple([await self._wish(manifest, entry) for entry in entries])

    async def plans(
        self, manifest: Manifest, views: Mapping[EndpointName, DeploymentView], names: Iterable[str] | None = None
    ) -> tuple[Plan, ...]:
        """What deploying would do to each endpoint, or to those named; nothing happens.

        Raises as `wishes`, but artifacts need not be there yet.
        """
        wishes = [await self._wish(manifest, entry) for entry in chosen(manifest, names)]
        return tuple([await self._plan(wish, views.get(wish.content.endpoint)) for wish in wishes])

    async def _plan(self, wish: Wish, view: DeploymentView | None) -> Plan:
        now, endpoint = self.services.clock.now(), wish.content.endpoint

        def work(calling: Calling) -> Plan:
            calling(f"strategy {wish.policy.strategy.name!r}")
            return plan_of(wish, new_deployment(wish, now), view, advisors_of(self.services.parts, wish.policy))

        try:
            return await self.services.isolation.call(f"plan {endpoint}", work)
        except PartFailed as failed:
            raise PluginError(
                f"endpoint {endpoint!r}: {failed.problem}", next_step="look at the plugin: flashcore plugins check"
            ) from failed

    async def _require_artifact(self, entry: EndpointEntry) -> None:
        if not await self.artifacts.has(entry.artifact):
            raise NotFound(
                f"endpoint {entry.name!r}: its artifact {entry.artifact[:12]} is not in the artifact store",
                next_step="build and upload it again: flashcore deploy",
                endpoint=entry.name,
            )

    async def _wish(self, manifest: Manifest, entry: EndpointEntry) -> Wish:
        endpoint_name(entry.name)
        require_sound(Declaration(entry.name, entry.resource, entry.template, entry.policy), entry.declared_at)
        self.services.surroundings.secrets(entry.template.secrets)

        def work(calling: Calling) -> Wish:
            return self._resolved(manifest, entry, calling)

        try:
            return await self.services.isolation.call(f"deploy {entry.name}", work)
        except PartFailed as failed:
            raise PluginError(
                f"endpoint {entry.name!r}: {failed.problem}", next_step="look at the plugin: flashcore plugins check"
            ) from failed

    def _resolved(self, manifest: Manifest, entry: EndpointEntry, calling: Calling) -> Wish:
        """The wish, with every part that it names made once: what could not be made later is refused now."""
        calling(f"a part of endpoint {entry.name!r}")
        surface = _surface(self.services.parts, entry)
        self._require_strategy(entry)
        plain = content_of(entry, manifest.python_version, entry.template.env)
        content = content_of(entry, manifest.python_version, self.amend_env(plain, plain.env))
        return Wish(RevisionId(digest(content)), content, entry.policy, entry.policy_digest, surface)

    def _require_strategy(self, entry: EndpointEntry) -> None:
        parts, policy = self.services.parts, entry.policy
        advisors = advisors_of(parts, policy)
        for goal in sorted({policy.replicas.minimum, policy.replicas.maximum}):
            rule = nonsense_in_budget(advisors.strategy.budget(goal), goal)
            if rule is not None:
                raise InvalidOptions(
                    f"endpoint {entry.name!r}, strategy {policy.strategy.name!r}: {rule}",
                    next_step="correct the strategy's options",
                    endpoint=entry.name,
                )
        provider = self.services.watcher_of(entry.template.provider)
        needed = parts.strategies.get(policy.strategy.name).part.capabilities
        missing = [need for need in needed if need in _NEEDS and _NEEDS[need] not in provider.provider.capabilities]
        if missing:
            raise Refused(
                f"endpoint {entry.name!r}: strategy {policy.strategy.name!r} needs {', '.join(missing)}, "
                f"which provider {provider.name!r} cannot give",
                next_step="choose another strategy or another provider",
                endpoint=entry.name,
                strategy=policy.strategy.name,
                provider=provider.name,
            )


def new_deployment(wish: Wish, now: float) -> Deployment:
    """The record of an endpoint that is not there yet."""
    return Deployment(
        endpoint=wish.content.endpoint,
        resource=wish.content.resource,
        policy=wish.policy,
        policy_digest=wish.policy_digest,
        surface=wish.surface,
        goal=wish.policy.replicas.minimum,
        status=DeploymentStatus.DEPLOYING,
        status_since=now,
        created_at=now,
    )


def chosen(manifest: Manifest, names: Iterable[str] | None) -> tuple[EndpointEntry, ...]:
    """The endpoints of a manifest, or those named. Raises NotFound."""
    if names is None:
        return manifest.endpoints
    wanted = list(dict.fromkeys(names))
    unknown = [name for name in wanted if manifest.endpoint(name) is None]
    if unknown:
        known = ", ".join(entry.name for entry in manifest.endpoints) or "none"
        raise NotFound(f"the manifest has no endpoint {unknown[0]!r}; it has: {known}", next_step="check the name")
    return tuple(entry for entry in manifest.endpoints if entry.name in wanted)


def _surface(parts: Parts, entry: EndpointEntry) -> Surface:
    resource, policy = parts.resource_types.make(PartRef(entry.resource)), entry.policy
    surface = Surface(
        ingress=resource.ingress.value,
        routing=policy.routing or resource.defaults.routing,
        probe=policy.probe or resource.defaults.probe,
        scaler=policy.scaler or resource.defaults.scaler,
    )
    parts.probes.make(surface.probe)
    parts.scalers.make(surface.scaler)
    return surface
