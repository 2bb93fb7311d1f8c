"""`python -m flashcore.dev.run_source`: runs one call of code that comes on standard input, as JSON."""

from __future__ import annotations

import asyncio
import inspect
import json
import os
import sys
from typing import Any

from flashcore.model.codec import to_json
from flashcore.worker.failure import failure_of
from flashcore.worker.plain import encode

_FILE = "<sent>"


def main() -> None:
    """Answer on what is standard output now; what the code prints goes to standard error."""
    sent = json.load(sys.stdin)
    with os.fdopen(os.dup(1), "wb") as answer:
        os.dup2(2, 1)
        answer.write(_answer(sent))


def _answer(sent: dict[str, Any]) -> bytes:
    try:
        return b'{"value":%b}' % encode(_value(sent))
    except BaseException as error:  # noqa: BLE001 - the code is anybody's, and may raise anything
        return json.dumps({"error": to_json(failure_of(error))}).encode()
    finally:
        sys.stdout.flush()


def _value(sent: dict[str, Any]) -> Any:
    names: dict[str, Any] = {"__name__": "__sent__"}
    exec(compile(sent["source"], _FILE, "exec"), names)  # noqa: S102 - to run what was sent is what this is for
    function = names.get(sent["function"])
    if function is None:
        raise NameError(f"the code defines no function {sent['function']!r}")
    value = function(*sent["args"], **(sent["kwargs"] or {}))
    return asyncio.run(_awaited(value)) if inspect.isawaitable(value) else value


async def _awaited(value: Any) -> Any:
    return await value


if __name__ == "__main__":
    main()
