"""Ask one replica whether it is well."""

import asyncio

from flashcore.hookspecs.probes import Answer, Finding, ProbeTarget

from {{ cookiecutter.__package }}.forms import {{ cookiecutter.__form }}


class {{ cookiecutter.__part }}:
    """One request for each probe, on a connection of its own. What it raises counts as failing."""

    def __init__(self, options: {{ cookiecutter.__form }}) -> None:
        self._request = f"GET {options.path} HTTP/1.0\r\nHost: replica\r\n\r\n".encode()

    async def probe(self, target: ProbeTarget, timeout: float) -> Finding:
        """Well if the status is 200; still loading, which counts neither way, if it is 204."""
        async with asyncio.timeout(timeout):
            reader, writer = await _connect(target.running.address)
            try:
                writer.write(self._request)
                answer = (await reader.readline()).decode("latin-1").strip()
            finally:
                writer.close()
        status = answer.split()[1:2]
        known = {"200": Answer.OK, "204": Answer.NEUTRAL}
        return Finding(known.get("".join(status), Answer.FAILING), answer)


async def _connect(address: str | None) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    scheme, _, place = (address or "").partition(":")
    if scheme == "unix":
        return await asyncio.open_unix_connection(place)
    host, _, port = place.rpartition(":")
    if scheme != "tcp":
        raise ConnectionError(f"the replica has no address that could be asked: {address!r}")
    return await asyncio.open_connection(host, int(port))
