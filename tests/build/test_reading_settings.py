"""What settings may be written as, and what the build says of those that it cannot read."""

import ast
import tempfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.build.conftest import Project

from flashcore import PartRef, QueueEndpoint
from flashcore.build.evaluate import Evaluator
from flashcore.build.modules import ModuleIndex
from flashcore.build.problems import Problems
from flashcore.build.sources import Sources
from flashcore.build.tree import walk
from flashcore.build.values import CannotRead

ProjectWriter = Callable[..., Project]


def declared(setting: str, before: str = "") -> str:
    """A file with one endpoint that has this setting."""
    return f"""\
import os
import flashcore
from flashcore import *
import flashcore_acme as acme
from flashcore_acme import Canary
{before}
q = QueueEndpoint("q", {setting})
@q.function
def f(): ...
"""


LITERALS: dict[str, tuple[str, Any]] = {
    "gpu_count=2": ("gpu_count", 2),
    "gpu_count=GPUS": ("gpu_count", 2),
    "gpu_count=GPUS * 2 + 1": ("gpu_count", 5),
    "gpu_count=-(-GPUS)": ("gpu_count", 2),
    "gpu_count=int('4')": ("gpu_count", 4),
    "gpu_count=int(os.environ.get('N', '3'))": ("gpu_count", 3),
    "gpu_count=max(1, GPUS)": ("gpu_count", 2),
    "gpu_count=len([1, 2, 3])": ("gpu_count", 3),
    "gpu_count=SIZES['big']": ("gpu_count", 8),
    "gpu_count=GPUS if BIG and GPUS > 1 else 0": ("gpu_count", 2),
    "gpu_count=LEFT": ("gpu_count", 1),
    "memory='4' 'Gi'": ("memory", "4Gi"),
    "memory=f'{GPUS * 2}{UNIT}'": ("memory", "4Gi"),
    "memory=f'{GPUS:02d}{UNIT!s}'": ("memory", "02Gi"),
    "memory='4' + UNIT": ("memory", "4Gi"),
    "memory=os.getenv('MEMORY', default='1Gi')": ("memory", "1Gi"),
    "memory=os.environ.get('MEMORY')": ("memory", None),
    "dependencies=['numpy', *EXTRA]": ("dependencies", ("numpy", "torch>=2")),
    "dependencies=['numpy'] + EXTRA": ("dependencies", ("numpy", "torch>=2")),
    "env={'A': '1', **COMMON}": ("env", {"A": "1", "B": "2"}),
    "env=COMMON | {'A': '1'}": ("env", {"A": "1", "B": "2"}),
    "env=dict(A='1')": ("env", {"A": "1"}),
    "cpu=1 / 2": ("cpu", 0.5),
    "warm=not BIG": ("warm", False),
    "**OPTIONS": ("cpu", 2.0),
}
CONSTANTS = """\
GPUS = 2
BIG: bool = True
UNIT = "Gi"
EXTRA = ["torch>=2"]
COMMON = {"B": "2"}
SIZES = {"small": 1, "big": 8}
OPTIONS = {"cpu": 2}
LEFT, RIGHT = 1, 2
"""


@pytest.mark.parametrize("setting", LITERALS)
def test_b04_constants_are_folded(project: ProjectWriter, setting: str) -> None:
    """B04: literals, names, arithmetic, f-strings, and a few functions that can do no harm."""
    name, value = LITERALS[setting]

    found = project(app=declared(setting, CONSTANTS)).declaration("q")

    assert getattr(found.template, name) == value


def test_b04_constants_of_other_modules_are_folded(project: ProjectWriter) -> None:
    """B04: through as many imports as there are."""
    made = project(
        {"a.py": "N = 3\n", "b.py": "from a import N as M\n", "c.py": "import b\n"},
        app=declared("gpu_count=c.b.M", "import c"),
    )

    assert made.declaration("q").template.gpu_count == 3


UNREADABLE = {
    "gpu_count=compute()": "7:34: gpu_count cannot be read: compute() would have to be run",
    "gpu_count=LOOP": "LOOP has no one value: it is the variable of a loop",
    "gpu_count=INSIDE": "INSIDE has no one value: it is assigned in a loop",
    "gpu_count=COUNTED": "COUNTED has no one value: it is changed in place",
    "gpu_count=EITHER": "EITHER is defined in 2 places",
    "gpu_count=ITSELF": "ITSELF is defined by itself",
    "gpu_count=NOWHERE": "there is no NOWHERE at the level of the module",
    "gpu_count=[n for n in (1,)][0]": "is only known when the file runs",
    "gpu_count=1 // 0": "1 // 0: integer division or modulo by zero",
    "gpu_count='a' + 1": 'can only concatenate str (not "int") to str',
    "gpu_count=2 ** 9999999999": "is not computed by the build",
    "memory='x' * 10**9": "is not computed by the build",
    "memory='x' * 1000000000": "is too long",
    "memory=f'{1:999999999d}'": "is too wide",
    "memory='%s' % 1": "write an f-string",
    "memory=os.environ['MEMORY']": 'write os.environ.get("MEMORY", "default"), or name it in secrets',
    "memory=json.dumps(1)": "json.dumps() would have to be run",
    "strategy=flashcore.Rollling()": "flashcore.Rollling() would have to be run",
    "memory=json": "json is no value that a setting can hold",
}
TROUBLE = """\
import json; LOOP = 0; compute = lambda: 1; ITSELF = ITSELF; COUNTED = 0
def compute(): return 1
for LOOP in range(3): INSIDE = LOOP
COUNTED += 1
if os.environ: EITHER = 1
else: EITHER = 2
"""


@pytest.mark.parametrize("setting", UNREADABLE)
def test_b04_what_cannot_be_read_says_what_to_write(project: ProjectWriter, setting: str) -> None:
    """B04: with file, line and column; what is not known is never guessed."""
    before = TROUBLE if UNREADABLE[setting].split()[0] != "7:34:" else "def compute(): return 1"

    message = project(app=declared(setting, before)).refusal()

    assert "app.py:" in message
    assert UNREADABLE[setting] in message


def test_b04_the_environment_is_not_read_but_noted(project: ProjectWriter, monkeypatch: pytest.MonkeyPatch) -> None:
    """B04: the same tree gives the same manifest everywhere; the manifest says which variables stand behind it."""
    monkeypatch.setenv("REGION", "somewhere")
    made = project(app=declared("env={'REGION': os.environ.get('REGION', 'eu')}"))

    manifest = made.build().manifest

    assert manifest.endpoints[0].template.env == {"REGION": "eu"}
    assert manifest.extra["environment"] == [{"variable": "REGION", "default": "eu", "at": "app.py:7:39"}]


PARTS = {
    "strategy='rolling'": PartRef("rolling"),
    "strategy=Rolling": PartRef("rolling"),
    "strategy=Rolling(max_surge=1)": PartRef("rolling", options={"max_surge": 1}),
    "strategy=flashcore.BlueGreen(auto_promote=False)": PartRef("blue_green", options={"auto_promote": False}),
    "strategy=Canary(5)": PartRef("canary", (5,)),
    "strategy=acme.Canary(5, pause=STEP * 2.5)": PartRef("canary", (5,), {"pause": 5.0}),
    "strategy=PartRef('canary', (5,))": PartRef("canary", (5,)),
}


@pytest.mark.parametrize("setting", PARTS)
def test_b04a_parts_are_known_by_their_name(project: ProjectWriter, setting: str) -> None:
    """B04a: a plugin's class becomes the part's name by what the plugin's record declares, without an import."""
    found = project(app=declared(setting, "STEP = 2")).declaration("q")

    assert found.policy.strategy == PARTS[setting]


BAD_PARTS = {
    "strategy=Stranger(5)": "install the plugin that declares it (strangers)",
    "strategy='canry'": "did you mean 'canary'?",
    "strategy=Canary(5, paus=1)": "there is no such option",
    "strategy=Canary('five')": "'canary', option steps",
    "strategy=Rolling(max_surge=[])": "'rolling', option max_surge",
    "strategy=Manual()": "there is no strategy 'manual'",
    "scaler=RequestCount(3)": "the scaler 'request_count' does not fit its type",
    "gates={'promotion': Delay('x')}": "'delay', option seconds",
    "provider='moon'": "there is no provider 'moon'",
    "routing='p2c'": "replicas of a queue take jobs as they are free",
}


def test_anybodys_scaler_may_be_declared(project: ProjectWriter) -> None:
    """A type refuses the scalers that it knows to see nothing of it, and no others."""
    found = project(app=declared("scaler=Tide(high=3)", "from flashcore_acme import Tide")).declaration("q")

    assert found.policy.scaler == PartRef("tide", options={"high": 3})


@pytest.mark.parametrize("setting", BAD_PARTS)
def test_b04a_a_part_that_does_not_fit_is_refused_at_its_place(project: ProjectWriter, setting: str) -> None:
    """B04a: the message names the package to install, the near name, or the option."""
    message = project(app=declared(setting, "from strangers import Stranger")).refusal()

    assert message.startswith("app.py:7:")
    assert BAD_PARTS[setting] in message


def test_b22_settings_are_checked_as_in_the_running_program(project: ProjectWriter) -> None:
    """B22: all that is wrong is said at once, each at its own place."""
    made = project(
        app="""
        from flashcore import QueueEndpoint
        a = QueueEndpoint("A_b", replica=2)
        b = QueueEndpoint("b", max_concurrency=0,
                          dependencies=["numpy >= "],
                          python_version="2")
        c = QueueEndpoint()
        d = QueueEndpoint(7, cpu="two")
        @a.function
        def f(): ...
        """
    )

    message = made.refusal()

    for line in (
        "3:19: endpoint name 'A_b' cannot be used: only lower-case",
        "call it 'a-b'",
        "3:34: replica: there is no such setting; did you mean replicas?",
        "4:5: endpoint 'b': max_concurrency must be at least 1, not 0",
        "4:5: endpoint 'b': it has no functions",
        "5:32: endpoint 'b': 'numpy >= ' is no requirement",
        "6:34: endpoint 'b': '2' is no minor version of Python",
        "7:5: the endpoint has no name",
        "8:19: an endpoint's name is text, not 7",
        "8:26: cpu: float is needed, not 'two'",
    ):
        assert line in message


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53) + 1, 2**53 - 1)
    | st.floats(allow_nan=False, allow_infinity=False).filter(lambda number: not 2**53 <= abs(number) < 1e21)
    | st.text(st.characters(codec="utf-8"), max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=8,
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow], max_examples=40)
@given(
    plugins=st.dictionaries(st.text(max_size=5), st.dictionaries(st.text(max_size=5), JSON, max_size=3), max_size=2),
    env=st.dictionaries(
        st.text(st.characters(codec="utf-8", exclude_characters="=\0"), min_size=1, max_size=5),
        st.text(st.characters(codec="utf-8", exclude_characters="\0")),
    ),
    gpu_count=st.integers(0, 8),
    delay=st.floats(0, 1e6),
)
def test_the_source_and_the_running_program_declare_the_same(
    project: ProjectWriter, plugins: Any, env: Any, gpu_count: int, delay: float
) -> None:
    """Declaration, manifest and what user code has in its hands are one value, options of plugins included."""
    values = {"plugins": plugins, "env": env, "gpu_count": gpu_count, "initial_delay": delay}
    made = project(app=declared(", ".join(f"{name}={value!r}" for name, value in values.items())))

    assert made.declaration("q") == QueueEndpoint("q", **values).declaration


@given(st.text(max_size=40))
def test_no_expression_takes_the_build_down(text: str) -> None:
    """Whatever is written: a value, or CannotRead."""
    try:
        node = ast.parse(text, mode="eval").body
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "a.py").touch()
        tree = walk(Path(folder), Problems())
        with suppress(CannotRead):
            Evaluator(Sources(tree), ModuleIndex(tree), {}).value("a.py", node)
