"""`/execute`: runs code that is sent with the call, for whoever has the session's token.

POST /execute    Authorization: Bearer TOKEN
{"source": "def add(a, b): return a + b", "function": "add", "args": [1, 2], "kwargs": {}}
-> {"value": 3, "output": ""} or {"error": {...}, "output": "what it printed"}

Each call has a process of its own, in the project's folder, so that the code can import the project. Nothing of this
is in what `flashcore build` makes, nor in the gateway of a platform.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from time import monotonic

from flashcore.dev.told import Called, Tell
from flashcore.gateway.answers import error_answer
from flashcore.gateway.http.respond import Request, Response, error_response, json_response
from flashcore.model.codec import CodecError, from_json
from flashcore.model.errors import FlashcoreError, UsageError
from flashcore.server.token import check_token
from flashcore.settings import Project
from flashcore.wire.envelope import RemoteFailure

PATH = b"/execute"
LONGEST = 600.0
"""Seconds that the code may run."""

_FORM = 'send {"source": "def f(x): ...", "function": "f", "args": [], "kwargs": {}}'


@dataclass(frozen=True, slots=True)
class Sent:
    """Code, and the call of one of its functions."""

    source: str
    function: str
    args: tuple[object, ...] = ()
    kwargs: Mapping[str, object] | None = None


class Execute:
    """Answers requests to `/execute`."""

    def __init__(self, project: Project, token: str, gateway: Callable[[], str], tell: Tell) -> None:
        self._project = project
        self._token = token
        self._gateway = gateway
        self._tell = tell

    async def __call__(self, request: Request) -> Response:
        """Check, run, answer."""
        if request.head.method != b"POST":
            return error_response(405, "method_not_allowed", "Code is sent by POST.", ((b"allow", b"POST"),))
        try:
            check_token(self._token, request.head.index.get(b"authorization", b"").decode("latin-1"))
            sent = _read(bytes(request.body))
        except FlashcoreError as error:
            return error_answer(error)
        return json_response(200, await self._run(sent))

    async def _run(self, sent: Sent) -> Mapping[str, object]:
        began = monotonic()
        answer = await self._answer(sent)
        failure = from_json(RemoteFailure, answer["error"]) if "error" in answer else None
        self._tell(
            Called(
                "execute",
                sent.function,
                "completed" if failure is None else "failed",
                ok=failure is None,
                seconds=monotonic() - began,
                result=json.dumps(answer["value"], ensure_ascii=False) if failure is None else None,
                failure=failure,
            )
        )
        return answer

    async def _answer(self, sent: Sent) -> dict[str, object]:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-P", "-m", "flashcore.dev.run_source"),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            cwd=self._project.root,
            env=self._environment(),
            start_new_session=True,
        )
        given = json.dumps({"source": sent.source, "function": sent.function, "args": sent.args, "kwargs": sent.kwargs})
        try:
            async with asyncio.timeout(LONGEST):
                out, printed = await process.communicate(given.encode())
        except TimeoutError:
            return _failed("DeadlineExceeded", f"{sent.function} ran for longer than {LONGEST:g} s")
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
        return _said(out, printed, process.returncode)

    def _environment(self) -> dict[str, str]:
        return {
            **os.environ,
            "PYTHONPATH": os.pathsep.join(filter(None, (str(self._project.root), os.environ.get("PYTHONPATH")))),
            "FLASHCORE_GATEWAY_URL": self._gateway(),
            # By this the process is found and ended with the session.
            "FLASHCORE_SESSION": f"{self._project.layout.home}{os.sep}",
        }


def _read(body: bytes) -> Sent:
    try:
        return from_json(Sent, json.loads(body))
    except (ValueError, CodecError) as error:
        raise UsageError(f"this cannot be executed: {error}", next_step=_FORM) from error


def _said(out: bytes, printed: bytes, status: int | None) -> dict[str, object]:
    output = printed.decode("utf-8", "replace")
    try:
        answer: dict[str, object] = json.loads(out)
    except ValueError:
        answer = _failed("SystemExit", f"the process ended with {status} before it had an answer")
    return {**answer, "output": output}


def _failed(kind: str, message: str) -> dict[str, object]:
    return {"error": {"error_type": kind, "error_message": message, "error_traceback": ""}}
