"""Which endpoints a function calls, as its source shows it."""

from collections.abc import Callable

import pytest
from tests.build.conftest import Project

ProjectWriter = Callable[..., Project]

WORKERS = """
from flashcore import QueueEndpoint
callee = QueueEndpoint("callee")
@callee.function
def f(x): ...
@callee.function
class Index:
    def search(self): ...
"""

CALLS = {
    "from workers import f": "await f(1)",
    "from workers import f as g": "return [await g(x) for x in range(3)]",
    "import workers": "workers.f.remote(1)",
    "import workers as w": "list(w.f.map([1]))",
    "from workers import Index": "await Index().search()",
    "from workers import Index as I\nindex = I('x')": "await index.search()",
    "import workers\nHANDLERS = {'f': workers.f}": "await HANDLERS['f'](1)",
    "import helpers": "return await helpers.help(1)",
    "from helpers import help": "return await help(1)",
    "from helpers import *": "return await help(1)",
    "": "from workers import f; await f(1)",
    "pass": "import workers; await workers.f(1)",
}


@pytest.mark.parametrize("imports", CALLS)
def test_b07_calls_between_endpoints_are_seen(project: ProjectWriter, imports: str) -> None:
    """B07: by name, by module, by instance, in comprehensions, in tables, in helpers, imported where it is used."""
    made = project(
        {
            "workers.py": WORKERS,
            "helpers.py": "from deeper import helps as help\n",
            "deeper.py": "import workers\nasync def helps(x):\n    return await workers.f(x)\n",
            "app.py": f"{imports}\nfrom flashcore import QueueEndpoint\ncaller = QueueEndpoint('caller')\n"
            f"@caller.function\nasync def call():\n    {CALLS[imports]}\n"
            "@caller.function\nasync def other():\n    return await call()\n",
        }
    )

    found = made.functions()

    assert found["call"].calls == ("callee",)
    assert found["other"].calls == ()
    assert found["f"].calls == ()


def test_b07_calls_in_circles_end(project: ProjectWriter) -> None:
    """B07: functions that call each other, in modules that import each other."""
    made = project(
        {
            "a.py": "import b\nfrom flashcore import QueueEndpoint\nq = QueueEndpoint('a')\n@q.function\n"
            "def f(): b.g.remote(); helper()\ndef helper(): f.remote(); b.helper()\n",
            "b.py": "import a\nfrom flashcore import QueueEndpoint\nq = QueueEndpoint('b')\n@q.function\n"
            "def g(): a.f.remote()\ndef helper(): a.helper()\n",
        }
    )

    found = made.functions()

    assert (found["f"].calls, found["g"].calls) == (("b",), ("a",))
