"""The probe `http`: GET a path on the replica."""

from __future__ import annotations

import asyncio

from flashcore.builtin.heartbeat_probe import WARMING
from flashcore.builtin.reaching import connection_to, unreached
from flashcore.hookspecs.probes import Answer, Finding, ProbeTarget
from flashcore.model.parts import HttpProbe

LONGEST_HEAD = 16 * 1024
_NOT_YET = frozenset({204, 503})
"""What replicas answer while they load."""

_SOMEBODY_ELSE = 421


class HttpProbing:
    """One request on a connection of its own; no redirect is followed, no body is read."""

    def __init__(self, options: HttpProbe) -> None:
        self._path = options.path

    async def probe(self, target: ProbeTarget, timeout: float) -> Finding:
        """200-399 is well. While it warms up, 204, 503 and silence are neutral; all else is failing."""
        address = target.running.address
        if address is None:
            return unreached(target, "it has no address for HTTP")
        try:
            async with asyncio.timeout(timeout):
                status = await _status(address, self._path, target)
        except TimeoutError:
            return unreached(target, f"no answer within {timeout:g} s")
        except (OSError, ValueError, EOFError, asyncio.LimitOverrunError) as error:
            return unreached(target, error)
        return _finding(target, status, self._path)


def _finding(target: ProbeTarget, status: int, path: str) -> Finding:
    if status in _NOT_YET and target.running.stage in WARMING:
        return Finding(Answer.NEUTRAL, f"it is loading: GET {path} answers {status}")
    if 200 <= status < 400:
        return Finding(Answer.OK)
    if status == _SOMEBODY_ELSE:
        return Finding(Answer.FAILING, "another replica answers at its address")
    return Finding(Answer.FAILING, f"GET {path} answers {status}")


async def _status(address: str, path: str, target: ProbeTarget) -> int:
    given = "".join(f"{name}: {value}\r\n" for name, value in target.headers.items())
    async with connection_to(address) as (reader, writer):
        # A replica that is another one by now says so, instead of passing for the one that is asked.
        writer.write(
            f"GET {path} HTTP/1.1\r\nHost: replica\r\nUser-Agent: flashcore-probe\r\n"
            f"x-flashcore-instance: {target.running.instance}\r\n{given}Connection: close\r\n\r\n".encode()
        )
        await writer.drain()
        head = await reader.readuntil(b"\r\n\r\n")
    if len(head) > LONGEST_HEAD:
        raise ValueError(f"the head of its answer has {len(head)} bytes")
    return _status_in(head)


def _status_in(head: bytes) -> int:
    version, _, rest = head.partition(b" ")
    code = rest[:3]
    if not version.startswith(b"HTTP/1.") or not code.isdigit():
        raise ValueError(f"its answer is not HTTP: {head[:40]!r}")
    return int(code)
