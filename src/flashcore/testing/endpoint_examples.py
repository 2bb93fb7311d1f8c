"""Endpoints as kits declare them: a small project, what the scan finds in it, and what a caller would ask of it."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping
from dataclasses import dataclass, field

from flashcore.model.declaration import Declaration, Policy, Template
from flashcore.model.manifest import FunctionEntry, FunctionKind, Parameter, ParameterKind, Result, Route


@dataclass(frozen=True, slots=True)
class Example:
    """One endpoint, without its name and its type."""

    files: Mapping[str, str] = field(default_factory=dict)
    """The project's files by their paths from its root, with `/`."""
    functions: tuple[FunctionEntry, ...] = ()
    """What the endpoint serves of them."""
    template: Template = field(default_factory=Template)
    policy: Policy = field(default_factory=Policy)
    exercise: str = "pass"
    """Python that calls the endpoint in a process where `module` is its imported handler; it raises what is wrong."""

    def declared(self, name: str, resource: str) -> Declaration:
        """The declaration of this endpoint under a name."""
        return Declaration(name, resource, self.template, self.policy)


def function(name: str, module: str, route: Route | None = None, line: int = 1) -> FunctionEntry:
    """The entry of `def NAME(a: int, b: int) -> int`."""
    parameters = tuple(Parameter(one, ParameterKind.POSITIONAL_OR_KEYWORD, "int") for one in ("a", "b"))
    return FunctionEntry(name, module, name, FunctionKind.FUNCTION, parameters, Result("int"), route=route, line=line)


_FUNCTIONS = {
    "app.py": "def add(a: int, b: int) -> int:\n    return a + b\n",
    "03_tools/a-b.py": "import neighbour\n\ndef multiply(a: int, b: int) -> int:\n    return neighbour.product(a, b)\n",
    "03_tools/neighbour.py": "def product(a, b):\n    return a * b\n",
}

QUEUED = Example(
    files=_FUNCTIONS,
    functions=(function("add", "app.py"), function("multiply", "03_tools/a-b.py", line=3)),
    exercise=textwrap.dedent("""
        import asyncio, inspect
        from flashcore.wire.envelope import Arguments, Call, unwrap_value, wrap_call

        async def answer(name):
            call = wrap_call(Call(name, arguments=Arguments((3, 4))))
            output = module.handler({"id": "1", "input": call})
            return unwrap_value(await output if inspect.isawaitable(output) else output)

        answers = [asyncio.run(answer(name)) for name in ("add", "multiply")]
        assert answers == [7, 12], f"add(3, 4) and multiply(3, 4) were {answers}"
    """),
)
"""Two functions that are called by jobs, one in a file that Python could not import by a name."""

ROUTED = Example(
    files=_FUNCTIONS,
    functions=(
        function("add", "app.py", Route("GET", "/add")),
        function("multiply", "03_tools/a-b.py", Route("GET", "/multiply/{a}"), line=3),
    ),
    exercise=textwrap.dedent("""
        import asyncio

        async def answer(path, query):
            scope = {
                "type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": "GET", "scheme": "http",
                "path": path, "raw_path": path.encode(), "query_string": query, "root_path": "", "headers": [],
                "server": ("127.0.0.1", 80), "client": ("127.0.0.1", 1),
            }
            sent, asked = [], asyncio.Event()

            async def receive():
                if asked.is_set():
                    await asyncio.Event().wait()
                asked.set()
                return {"type": "http.request", "body": b"", "more_body": False}

            async def send(message):
                sent.append(message)

            await module.app(scope, receive, send)
            return sent[0]["status"], b"".join(one.get("body", b"") for one in sent)

        answers = [asyncio.run(answer(*asked)) for asked in (("/add", b"a=3&b=4"), ("/multiply/3", b"b=4"))]
        assert answers == [(200, b"7"), (200, b"12")], f"/add?a=3&b=4 and /multiply/3?b=4 were {answers}"
    """),
)
"""The same two as routes of an HTTP endpoint."""

SCRIPTED = Example(
    files={"tools/work.py": "import runpod\n\nrunpod.serverless.start({'handler': lambda job: job['input']})\n"},
    template=Template(script="tools/work.py"),
    exercise="assert module.script.path.is_file(), f'there is no {module.script.path}'",
)
"""A script that the replica runs as it is."""
