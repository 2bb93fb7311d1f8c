"""The control API as commands call it: JSON over HTTP, with TLS beyond this machine, errors as themselves."""

from __future__ import annotations

import http.client
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlsplit

from flashcore.model import errors
from flashcore.model.names import endpoint_name

if TYPE_CHECKING:
    import ssl


def of_deployment(endpoint: str, *within: str) -> str:
    """The path of a deployment, or of what it has. Raises NotFound for what no endpoint can be called."""
    try:
        path = ["/api/v1/deployments", endpoint_name(endpoint)]
    except errors.InvalidName as error:
        raise errors.NotFound(
            f"there is no endpoint {endpoint!r}, and can be none",
            next_step="flashcore status lists those that there are",
        ) from error
    return "/".join([*path, *map(escaped, within)])


def escaped(text: str) -> str:
    """As one segment of a path, whatever is in it."""
    return quote(text, safe="")


class ControlApi:
    """One control plane. Every call has its own connection; calls are few and the server may go at any time."""

    def __init__(self, url: str, token: str, tls: ssl.SSLContext | None = None) -> None:
        self._address = urlsplit(url)
        self._token = token
        self._tls = tls

    def get(self, path: str, timeout: float = 10.0) -> Any:
        """The JSON answer of a GET."""
        return self.call("GET", path, timeout=timeout)

    def call(self, method: str, path: str, body: Any = None, timeout: float = 60.0) -> Any:
        """The JSON answer. Raises the error that the server names, or Unavailable."""
        data = None if body is None else json.dumps(body).encode()
        with self._request(method, path, data, {"Content-Type": "application/json"}, timeout) as response:
            text = response.read()
            return json.loads(text) if text else None

    def upload(self, path: str, source: Path, timeout: float = 600.0) -> None:
        """PUT a file as it is."""
        headers = {"Content-Type": "application/octet-stream", "Content-Length": str(source.stat().st_size)}
        with source.open("rb") as file, self._request("PUT", path, file, headers, timeout) as response:
            response.read()

    def has(self, path: str) -> bool:
        """Whether a HEAD finds it."""
        try:
            with self._request("HEAD", path, None, {}, 10.0) as response:
                response.read()
        except errors.NotFound:
            return False
        return True

    def lines(self, path: str, timeout: float | None = None) -> Iterator[str]:
        """The lines of a streamed answer as they come; ends when the server ends it."""
        with self._request("GET", path, None, {}, timeout) as response:
            for raw in response:
                yield raw.decode("utf-8", errors="replace").rstrip("\r\n")

    @contextmanager
    def _request(
        self, method: str, path: str, body: Any, headers: Mapping[str, str], timeout: float | None
    ) -> Iterator[http.client.HTTPResponse]:
        connection = self._connection(timeout)
        try:
            connection.request(method, path, body, {**headers, "Authorization": f"Bearer {self._token}"})
            response = connection.getresponse()
            if response.status >= 300:  # it sends nobody elsewhere but from a path that it does not have
                raise _error_from(response)
            yield response
        except TimeoutError as error:
            raise errors.DeadlineExceeded(
                f"the control plane did not answer {method} {path} within {timeout} s",
                next_step="look at logs/server.log of the environment in .flashcore; if it hangs, end it with kill -9: "
                "replicas and gateway go on, and the next command starts it again",
            ) from error
        except http.client.IncompleteRead as error:
            raise errors.Unavailable(
                f"the control plane broke its answer to {method} {path.partition('?')[0]} off",
                next_step="run the command again: it says whether it has stopped, or the token is good no longer",
            ) from error
        except (OSError, http.client.HTTPException) as error:
            raise self._unavailable(error) from error
        finally:
            connection.close()

    def _connection(self, timeout: float | None) -> http.client.HTTPConnection:
        host, port = self._address.hostname or "127.0.0.1", self._address.port
        if self._tls is None:
            return http.client.HTTPConnection(host, port, timeout=timeout)
        return http.client.HTTPSConnection(host, port, timeout=timeout, context=self._tls)

    def _unavailable(self, error: Exception) -> errors.FlashcoreError:
        if self._tls is None:
            return errors.Unavailable(
                f"the control plane at {self._address.netloc} does not answer: {error}",
                next_step="start it: flashcore server start",
            )
        # By its name: whoever does not speak to that API has no need for the module.
        if type(error).__name__ == "SSLCertVerificationError":
            return errors.Unauthorized(
                f"the control plane at {self._address.netloc} cannot be trusted: {error}",
                next_step="set api.ca (FLASHCORE_API_CA) to the certificate of who signed its own, and call it by a "
                "name that its certificate has",
            )
        return errors.Unavailable(
            f"the control plane at {self._address.netloc} does not answer: {error}",
            next_step="check api.url (FLASHCORE_API_URL), and whether it runs there",
        )


def _error_from(response: http.client.HTTPResponse) -> errors.FlashcoreError:
    text = response.read()
    try:
        return errors.error_from_json(json.loads(text)["error"])
    except (ValueError, KeyError, TypeError):
        if response.status == 404:
            return errors.NotFound("the control plane has nothing there")
        shown = text[:500].decode(errors="replace")
        return errors.FlashcoreError(f"the control plane answered {response.status}: {shown}")
