"""Endpoints as they are written in user code."""

import importlib
import subprocess
import sys
from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import flashcore
from flashcore import (
    BlueGreen,
    Bounds,
    Delay,
    InvalidDeclaration,
    InvalidName,
    LoadBalancedEndpoint,
    Manual,
    PartRef,
    ProbePolicy,
    QueueEndpoint,
    Rolling,
    Volume,
    remote,
)
from flashcore.model.codec import from_json, to_json
from flashcore.model.declaration import Declaration


def test_settings_go_to_their_half_of_the_declaration() -> None:
    """Template: what a replica runs; policy: how it is run."""
    made = QueueEndpoint(
        "embed", replicas=(0, 3), gpu="RTX 4090", dependencies=["numpy"], max_concurrency=4
    ).declaration

    assert (made.name, made.resource) == ("embed", "queue")
    assert made.policy.replicas == Bounds(0, 3)
    assert (made.template.gpu, made.template.dependencies, made.template.max_concurrency) == ("RTX 4090", ("numpy",), 4)


@pytest.mark.parametrize("replicas", [2, (2, 2), [2, 2], Bounds(2, 2)])
def test_replicas_are_a_number_or_two(replicas: Any) -> None:
    """One number means: always so many."""
    assert QueueEndpoint("a", replicas=replicas).declaration.policy.replicas == Bounds(2, 2)


@dataclass
class Canary:
    """A strategy of somebody else's."""

    steps: int
    pause: float = 60.0


class Plain:
    """One that is no dataclass."""


@pytest.mark.parametrize(
    ("written", "part"),
    [
        ("rolling", PartRef("rolling")),
        (Rolling(), PartRef("rolling")),
        (Rolling, PartRef("rolling")),
        (Rolling(max_surge=1), PartRef("rolling", options={"max_surge": 1})),
        (BlueGreen(auto_promote=False), PartRef("blue_green", options={"auto_promote": False})),
        (PartRef("canary", (5,)), PartRef("canary", (5,))),
        (Canary(5), PartRef(f"{__name__}:Canary", options={"steps": 5})),
        (Plain(), PartRef(f"{__name__}:Plain")),
    ],
)
def test_a_part_is_written_as_name_value_or_anybodys_object(written: Any, part: PartRef) -> None:
    """What a third party's class means is for the platform to find out; its import path is kept."""
    assert QueueEndpoint("a", strategy=written).declaration.policy.strategy == part


def test_gates_are_bound_to_checkpoints() -> None:
    """One gate or several; names or values."""
    made = QueueEndpoint("a", gates={"promotion": Manual(), "step 1": ["manual", Delay(60)]}).declaration

    assert made.policy.gates == {
        "promotion": (PartRef("manual"),),
        "step 1": (PartRef("manual"), PartRef("delay", options={"seconds": 60})),
    }


@pytest.mark.parametrize("health", [ProbePolicy(interval=2), {"interval": 2}])
def test_health_is_a_value_or_a_dict(health: Any) -> None:
    """A dict names what differs from the defaults."""
    assert QueueEndpoint("a", health=health).declaration.policy.health == ProbePolicy(interval=2.0)


@pytest.mark.parametrize("volume", [Volume("models", "/m"), {"source": "models", "path": "/m"}])
def test_volumes_are_values_or_dicts(volume: Any) -> None:
    """Both read the same."""
    assert QueueEndpoint("a", volumes=[volume]).declaration.template.volumes == (Volume("models", "/m"),)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"max_concurency": 2}, "max_concurency: there is no such setting; did you mean max_concurrency?"),
        (
            {"auto_promote": False},
            "auto_promote: there is no such setting; the strategy has it: write strategy=BlueGreen(auto_promote=...)",
        ),
        ({"path": "/up"}, "path: there is no such setting; the probe has it: write probe=HttpProbe(path=...)"),
        (
            {"header": "x-user"},
            "the routing has it: write routing=HashRouting(header=...) or routing=StickyRouting(header=...)",
        ),
        ({"interval": 2}, "interval: there is no such setting; health has it: write health={'interval': ...}"),
        ({"zzz": 2}, "there is no such setting; there are auto_rollback, "),
        ({"extra": {}}, "extra: there is no such setting"),
        ({"replicas": "2"}, "replicas: a number or (least, most) is needed, not '2'"),
        ({"replicas": (1, 2, 3)}, "replicas: a number or (least, most) is needed"),
        ({"replicas": (3, 1)}, "the most replicas (1) are fewer than the least (3)"),
        ({"dependencies": "numpy"}, "dependencies: a list is needed: write ['numpy']"),
        ({"cpu": "two"}, "cpu: float is needed, not 'two'"),
        ({"warm": 1}, "warm: bool is needed, not 1"),
        ({"idle_timeout": float("inf")}, "idle_timeout: inf is not a finite number"),
        ({"plugins": {"acme": {"x": 2**53}}}, "plugins.acme.x: 9007199254740992 is too large; write it as text"),
        ({"plugins": {"acme": {"x": [1e16]}}}, "plugins.acme.x[0]: 1e+16 is too large; write it as text"),
        ({"strategy": 5}, "strategy: a part is needed, by name or as in Rolling(max_surge=1), not 5"),
        ({"gates": [Manual()]}, "gates: gates by checkpoint are needed"),
        ({"health": {"intervall": 2}}, "health.intervall: unknown field of ProbePolicy"),
        ({"env": {"A": 1}}, "env.A: str is needed, not 1"),
        ({"env": {"A": "1"}, "secrets": ["A"]}, "'A' is set in env and named in secrets"),
        ({"plugins": {"acme": {"x": object()}}}, "a object has no JSON form"),
    ],
)
def test_a_wrong_setting_says_what_to_write(settings: dict[str, Any], message: str) -> None:
    """The endpoint, the setting, and the nearest name."""
    with pytest.raises(InvalidDeclaration) as caught:
        QueueEndpoint("embed", **settings)

    assert "endpoint 'embed'" in str(caught.value)
    assert message in str(caught.value)


def test_a_float_that_is_written_with_an_exponent_has_no_bounds() -> None:
    """Its canonical form is read back as a float."""
    options = {"small": 2.0**53 - 1, "large": -1e21}

    assert QueueEndpoint("a", plugins={"acme": options}).declaration.template.plugins == {"acme": options}


def test_all_that_is_wrong_is_said_at_once() -> None:
    """Nobody wants to learn of mistakes one at a time."""
    with pytest.raises(InvalidDeclaration) as caught:
        QueueEndpoint("embed", replica=2, cpu="x")

    assert len(caught.value.data["problems"]) == 2


@pytest.mark.parametrize("name", ["", "Embed", "a_b", "v2", "a--b", "x" * 41])
def test_a_name_that_cannot_be_is_refused(name: str) -> None:
    """B22: endpoint names are DNS labels."""
    with pytest.raises(InvalidName):
        QueueEndpoint(name)


def test_a_subclass_sets_defaults_as_class_attributes() -> None:
    """What several endpoints have in common is said once."""

    class OnGpu(QueueEndpoint):
        gpu = "any"
        replicas = (0, 3)

    class OnBigGpu(OnGpu):
        gpu = "H100"

    made = OnBigGpu("a", replicas=1).declaration

    assert (made.resource, made.template.gpu, made.policy.replicas) == ("queue", "H100", Bounds(1, 1))


def test_remote_wants_a_queue() -> None:
    """A load-balanced endpoint needs to know the route."""
    with pytest.raises(InvalidDeclaration, match=r"@web\.get"):
        remote(LoadBalancedEndpoint("web"))
    with pytest.raises(InvalidDeclaration, match="remote\\(\\) needs an endpoint"):
        remote(lambda: None)  # type: ignore[arg-type]  # as `@remote` without an endpoint does


def test_a_function_belongs_to_one_endpoint() -> None:
    """Two decorators of endpoints on one function are refused where they are written."""
    first, second = QueueEndpoint("a"), QueueEndpoint("b")
    function = first.function(lambda: 1)

    with pytest.raises(InvalidDeclaration, match="one endpoint"):
        second.function(function)


def test_a_path_starts_with_a_slash() -> None:
    """The message shows the path as it should be."""
    with pytest.raises(InvalidDeclaration, match="write '/items'"):
        LoadBalancedEndpoint("web").get("items")


@given(
    st.builds(
        lambda replicas, env, options: (
            QueueEndpoint(
                "a", replicas=replicas, env=env, strategy=PartRef("x", options=options), plugins={"acme": options}
            ).declaration
        ),
        st.integers(0, 99),
        st.dictionaries(
            st.text("ABC_é1", min_size=1, max_size=5), st.text(st.characters(exclude_characters="\0"), max_size=5)
        ),
        st.dictionaries(st.text(max_size=5), st.integers(-5, 5) | st.text(max_size=5) | st.lists(st.booleans())),
    )
)
def test_a_declaration_survives_the_way_through_json(declaration: Declaration) -> None:
    """Declaration, manifest and revision carry the same value, the options of unknown plugins included."""
    assert from_json(Declaration, to_json(declaration)) == declaration


def test_all_names_are_listed_sorted_and_there() -> None:
    """`__all__` is what the package has, in order."""
    assert flashcore.__all__ == sorted(flashcore.__all__)
    assert dir(flashcore) == flashcore.__all__
    for name in flashcore.__all__:
        assert getattr(flashcore, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'Queue'"):
        getattr(flashcore, "Queue")  # noqa: B009 - for the type checker there is no such name


def test_every_error_and_every_form_of_a_part_is_public() -> None:
    """Whoever catches an error, or writes a built-in part, imports it from `flashcore`."""
    errors = importlib.import_module("flashcore.model.errors")
    parts = importlib.import_module("flashcore.model.parts")
    named = {
        name
        for module in (errors, parts)
        for name, value in vars(module).items()
        if isinstance(value, type) and value.__module__ == module.__name__
    }

    assert named - set(flashcore.__all__) == set()


HEAVY = {
    "asyncio",
    "click",
    "cloudpickle",
    "cookiecutter",
    "fastapi",
    "http.client",
    "httpx2",
    "pluggy",
    "pydantic",
    "pytest",
    "rich",
    "runpod",
    "ssl",
}


@pytest.mark.parametrize(
    "code",
    ["import flashcore", "from flashcore import QueueEndpoint as Q, remote; remote(Q('a'))(lambda: 1)"],
)
def test_importing_and_declaring_import_nothing_heavy(code: str) -> None:
    """A script that declares an endpoint starts as fast as Python does."""
    told = subprocess.run(
        [sys.executable, "-c", f"{code}\nimport sys; print(*sys.modules)"], check=True, capture_output=True, text=True
    )

    assert HEAVY.isdisjoint(told.stdout.split())


def test_the_version_is_the_distributions() -> None:
    """It is written twice, so that asking for it reads no metadata."""
    from importlib.metadata import version

    assert flashcore.__version__ == version("flashcore-framework")
