"""Settings that only running the project tells, where somebody has asked for that."""

from collections.abc import Callable
from dataclasses import dataclass

import pytest
from tests.build.conftest import Project

from flashcore import BuildError
from flashcore.build.options import BuildOptions
from flashcore.build.project import build
from flashcore.model.declaration import Bounds
from flashcore.model.manifest import EndpointEntry

ProjectWriter = Callable[..., Project]

APP = """
import helper
from flashcore import QueueEndpoint
print("noise")
q = QueueEndpoint(
    "q", gpu_count=helper.compute(2), replicas=(0, helper.compute(3)), strategy="rolling"
)
plain = QueueEndpoint("plain")
@q.function
def f(): ...
@plain.function
def g(): ...
"""
HELPER = "def compute(n):\n    return n * 2\n"


@dataclass
class Run:
    """A project that may be run."""

    made: Project

    def endpoint(self, name: str) -> EndpointEntry:
        """Build it, and give that endpoint."""
        result = build(self.made.root, app="shop", registry=self.made.registry, options=BuildOptions(run_imports=True))
        found = result.manifest.endpoint(name)
        assert found is not None
        return found


def test_what_cannot_be_read_is_an_error_with_its_place_and_two_ways_out(project: ProjectWriter) -> None:
    """B04: `file:line:column`, what to write instead, or the scanner that imports."""
    message = project({"helper.py": HELPER}, app=APP).refusal()

    assert "app.py:6:20: gpu_count cannot be read: helper.compute() would have to be run" in message
    assert 'os.environ.get("NAME", "default")' in message
    assert 'scan = "import"' in message


def test_the_import_scanner_computes_what_cannot_be_read(project: ProjectWriter) -> None:
    """B04: in a process of its own, whatever that prints; what can be read is read."""
    run = Run(project({"helper.py": HELPER}, app=APP))

    found = run.endpoint("q")

    assert found.template.gpu_count == 4
    assert found.policy.replicas == Bounds(0, 6)
    assert found.policy.strategy.name == "rolling"
    assert [one.name for one in found.functions] == ["f"]
    assert run.endpoint("plain").template.gpu_count == 0


def test_names_may_be_computed_too(project: ProjectWriter) -> None:
    """B04: also in a folder that Python could not import from."""
    run = Run(project({"03-x/app.py": APP.replace('"q"', '"q" + str(helper.compute(1))'), "03-x/helper.py": HELPER}))

    assert run.endpoint("q2").template.gpu_count == 4


FAILING = {
    "raise ValueError('no GPU here')": "app.py: it was run, and failed: ValueError: no GPU here",
    "raise SystemExit(3)": "app.py: it was run, and failed: it left with exit status 3",
    "import a_package_that_is_not_installed": "No module named 'a_package_that_is_not_installed'",
    "q_settings = {'gpu_count': 'many'}": "gpu_count",
}


@pytest.mark.parametrize("line", FAILING)
def test_a_file_that_fails_when_it_is_run_says_why(project: ProjectWriter, line: str) -> None:
    """B04: the build goes on to the next file, and ends with all that is wrong."""
    text = APP.replace('print("noise")', f'print("noise")\n{line}')
    if "q_settings" in line:
        text = text.replace("gpu_count=helper.compute(2)", "gpu_count=str(helper.compute(2))")
    run = Run(project({"helper.py": HELPER}, app=text))

    with pytest.raises(BuildError) as caught:
        run.endpoint("q")

    assert FAILING[line] in str(caught.value)
