"""A declaration's journey: from its author's source over manifest and revision to the provider, as one typed value."""

import dataclasses
import json
from collections.abc import Callable, Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.build.conftest import Project

from flashcore import LoadBalancedEndpoint, QueueEndpoint
from flashcore.canonical import canonical_bytes, digest
from flashcore.client.settings import setting_names
from flashcore.hookspecs.providers import Hints
from flashcore.model.codec import from_json, to_json
from flashcore.model.declaration import Bounds, Declaration, Policy, ProbePolicy, Template, Volume
from flashcore.model.errors import InvalidDeclaration
from flashcore.model.manifest import EndpointEntry, Manifest, manifest_from_json, manifest_to_json
from flashcore.model.names import Digest, EndpointName, ReplicaId, RevisionId
from flashcore.model.parts import PartRef
from flashcore.model.revision import Revision, content_of
from flashcore.testing.simulated_provider import SimulatedProvider
from flashcore.testing.simulation import World, simulate

ProjectWriter = Callable[..., Project]

texts = st.text(st.characters(codec="utf-8"), max_size=6)
numbers = st.integers(-(2**53) + 1, 2**53 - 1) | st.floats(-(2.0**53), 2.0**53, exclude_min=True, exclude_max=True)
plain = st.recursive(
    st.none() | st.booleans() | numbers | texts,
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(texts, inner, max_size=2),
    max_leaves=5,
)
floats = st.floats(0, 1e9)
parts = st.builds(PartRef, texts, st.just(()), st.dictionaries(texts, plain, max_size=2))


def unknown(cls: type) -> st.SearchStrategy[dict[str, Any]]:
    """Fields of a newer version, or of a plugin: any, but for those that there are."""
    known = {one.name for one in dataclasses.fields(cls)}
    return st.dictionaries(texts.filter(lambda name: name not in known), plain, max_size=2)


templates = st.builds(
    Template,
    max_concurrency=st.integers(1, 1000),
    cpu=st.none() | floats,
    memory=st.none() | texts,
    gpu=st.none() | texts,
    gpu_count=st.integers(0, 8),
    dependencies=st.lists(texts, max_size=2).map(tuple),
    system_dependencies=st.lists(texts, max_size=2).map(tuple),
    python_version=st.none() | texts,
    env=st.dictionaries(texts, texts, max_size=2),
    secrets=st.lists(texts, max_size=2).map(tuple),
    volumes=st.lists(st.builds(Volume, texts, texts, st.booleans()), max_size=2).map(tuple),
    include=st.lists(texts, max_size=2).map(tuple),
    datacenter=st.lists(texts, max_size=2).map(tuple),
    image=st.none() | texts,
    template=st.none() | texts,
    script=st.none() | texts,
    warm=st.booleans(),
    provider=st.none() | parts,
    plugins=st.dictionaries(texts, st.dictionaries(texts, plain, max_size=2), max_size=2),
    extra=unknown(Template),
)
policies = st.builds(
    Policy,
    replicas=st.builds(Bounds, st.integers(0, 9), st.integers(0, 9)),
    strategy=parts,
    gates=st.dictionaries(texts, st.lists(parts, max_size=2).map(tuple), max_size=2),
    scaler=st.none() | parts,
    routing=st.none() | parts,
    probe=st.none() | parts,
    health=st.builds(ProbePolicy, interval=floats, failed_terminal=st.booleans()),
    initial_delay=floats,
    ttl=floats,
    extra=unknown(Policy),
)


def entry_of(template: Template, policy: Policy, extra: Mapping[str, Any] | None = None) -> EndpointEntry:
    """A manifest's entry."""
    return EndpointEntry(
        EndpointName("q"),
        "queue",
        template,
        policy,
        (),
        "handler_q.py",
        Digest("a" * 64),
        digest(template),
        digest(policy),
        "app.py:1",
        extra or {},
    )


@given(templates, policies, unknown(EndpointEntry), unknown(Manifest))
def test_the_journey_is_an_identity(
    template: Template, policy: Policy, in_entry: dict[str, Any], in_manifest: dict[str, Any]
) -> None:
    """B20: declaration, manifest, revision and what a provider is given hold the same, unknown fields included."""
    manifest = Manifest("shop", (entry_of(template, policy, in_entry),), "1", "3.12", extra=in_manifest)

    read = manifest_from_json(json.loads(canonical_bytes(manifest_to_json(manifest))))
    (entry,) = read.endpoints
    content = content_of(entry, read.python_version, entry.template.env)
    stored = from_json(Revision, json.loads(canonical_bytes(Revision(RevisionId("r"), content, 1, 0.0))))

    assert read == manifest
    assert stored.content == content
    assert Declaration(entry.name, entry.resource, stored.content.template, entry.policy) == Declaration(
        "q", "queue", template, policy
    )


OTHER: Mapping[str, Any] = {
    "max_concurrency": 7,
    "cpu": 1.5,
    "memory": "2Gi",
    "gpu": "RTX 4090",
    "gpu_count": 2,
    "dependencies": ["numpy>=2"],
    "system_dependencies": ["ffmpeg"],
    "python_version": "3.12",
    "env": {"A": "b"},
    "secrets": ["HF_TOKEN"],
    "volumes": [Volume("cache", "/cache", read_only=True)],
    "include": ["models/*.bin"],
    "datacenter": ["EU-RO-1"],
    "image": "acme/cuda:12",
    "template": "tpl-42",
    "script": "worker.py",
    "warm": False,
    "provider": PartRef("process", options={"cpus": 4, "deep": {"unknown": [1, None]}}),
    "plugins": {"acme": {"anything": [1, {"x": None}]}},
    "replicas": (2, 6),
    "strategy": PartRef("blue_green", options={"auto_promote": False}),
    "gates": {"promotion": PartRef("delay", options={"seconds": 5.0})},
    "scaler": PartRef("fixed"),
    "routing": PartRef("hash", options={"header": "x-user"}),
    "probe": PartRef("tcp"),
    "health": ProbePolicy(interval=3.0, failure_threshold=5),
    "initial_delay": 11.0,
    "termination_grace": 12.0,
    "idle_timeout": 13.0,
    "execution_timeout": 14.0,
    "ttl": 15.0,
    "result_retention": 16.0,
    "max_attempts": 4,
    "progress_deadline": 17.0,
    "auto_rollback": False,
    "revision_history": 3,
    "undo_window": 4,
    "public": True,
}
"""Of each setting a value that is not its default."""


def test_every_setting_is_tried_here() -> None:
    """B20: a new setting has to be added to the table above, and with it to the tests below."""
    assert OTHER.keys() == setting_names()


@pytest.mark.parametrize("name", sorted(OTHER))
def test_a_setting_changes_one_of_the_two_digests(name: str) -> None:
    """B21: the template's makes a revision, the policy's is applied in place, and none touches the other."""
    before = LoadBalancedEndpoint("q").declaration
    after = LoadBalancedEndpoint("q", **{name: OTHER[name]}).declaration

    in_template = name in {one.name for one in dataclasses.fields(Template)}

    assert (digest(after.template) != digest(before.template)) == in_template
    assert (digest(after.policy) != digest(before.policy)) != in_template


class Recording(SimulatedProvider):
    """Remembers the revisions that it was told to run."""

    seen: Revision | None = None

    async def apply(self, revision: Revision, want: frozenset[ReplicaId], hints: Hints) -> None:
        """See Provider."""
        self.seen = revision
        await super().apply(revision, want, hints)


def test_every_setting_reaches_the_provider_as_it_was_written(project: ProjectWriter) -> None:
    """B20: from the author's source, over the manifest's file, through the real controller and its store."""
    given = {name: value for name, value in OTHER.items() if name not in ("gates", "secrets", "include", "script")}
    forms = "from flashcore import *\nfrom flashcore.model.declaration import ProbePolicy, Volume\n"
    made = project(app=f"{forms}web = LoadBalancedEndpoint('web', **{written(given)})\n@web.get('/x')\ndef f(): ...\n")
    result = made.build()
    manifest = manifest_from_json(json.loads((result.directory / "flashcore_manifest.json").read_bytes()))
    providers: list[Recording] = []

    async def scenario(world: World) -> None:
        world.provider = Recording(world.clock)
        providers.append(world.provider)
        await world.restart()
        (entry,) = manifest.endpoints
        # Where it runs is the test's to say; every other setting is the author's.
        template = dataclasses.replace(entry.template, provider=None)
        await world.deploy_entry(
            dataclasses.replace(
                entry,
                template=template,
                policy=dataclasses.replace(
                    entry.policy, probe=PartRef("scripted"), routing=None, strategy=PartRef("rolling")
                ),
            )
        )
        await world.ready("web")

    simulate(scenario)

    declared = LoadBalancedEndpoint("web", **given).declaration
    (entry,) = manifest.endpoints
    assert entry.policy == declared.policy
    assert entry.template == declared.template
    (provider,) = providers
    assert provider.seen is not None
    assert provider.seen.content.template == dataclasses.replace(declared.template, provider=None)
    assert provider.seen.content.env == {"A": "b"}
    assert to_json(entry.template.provider) == to_json(OTHER["provider"])


def written(settings: Mapping[str, Any]) -> str:
    """Settings as somebody writes them."""
    return repr(dict(settings)).replace("mappingproxy", "")


BAD: dict[str, tuple[Any, str]] = {
    "memory": ("lots", "memory must be an amount as in '512Mi' or '4Gi', not 'lots'"),
    "env": ({"A=B": "c"}, "'A=B' cannot be the name of an environment variable"),
    "secrets": ([""], "'' cannot be the name of an environment variable"),
    "volumes": ([Volume("x", "data")], "a volume's path must begin with a slash, not 'data'"),
    "replicas": ((3, 1), "the most replicas (1) are fewer than the least (3)"),
    "max_concurrency": (0, "max_concurrency must be at least 1, not 0"),
    "gpu_count": (-1, "gpu_count must be at least 0, not -1"),
    "cpu": (-1, "cpu must be at least 0, not -1"),
    "idle_timeout": (-1, "idle_timeout must be at least 0"),
    "execution_timeout": (-1, "execution_timeout must be at least 0"),
    "ttl": (-1, "ttl must be at least 0"),
    "initial_delay": (-1, "initial_delay must be at least 0"),
    "termination_grace": (-1, "termination_grace must be at least 0"),
    "max_attempts": (0, "max_attempts must be at least 1"),
    "health": (ProbePolicy(interval=0), "health.interval must be a number of seconds greater than 0"),
    "dependencies": ("numpy", "a list is needed: write ['numpy']"),
    "gpu": (3, "str is needed, not 3"),
    "replica": (1, "there is no such setting; did you mean replicas?"),
}


@pytest.mark.parametrize("name", BAD)
def test_settings_are_validated_where_they_are_declared(name: str) -> None:
    """B22: in the running program with the same words as in the build."""
    value, message = BAD[name]

    with pytest.raises(InvalidDeclaration) as caught:
        QueueEndpoint("q", **{name: value})

    assert message in str(caught.value)


def test_two_volumes_cannot_be_at_one_place() -> None:
    """B22: one would hide the other."""
    with pytest.raises(InvalidDeclaration, match="two volumes at '/data'"):
        QueueEndpoint("q", volumes=[Volume("a", "/data"), Volume("b", "/data")])
