"""What is known of a request from its head alone, by one table: where it goes, and what a policy may see of it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from flashcore.gateway.http.head import RequestHead
from flashcore.gateway.http_service import HttpService
from flashcore.gateway.paths import Addressed
from flashcore.gateway.routes import Routes


class PolicyHeaders(Mapping[str, str]):
    """A request's headers as a policy may see them, read only when it looks."""

    __slots__ = ("_head",)

    def __init__(self, head: RequestHead) -> None:
        self._head = head

    def __getitem__(self, name: str) -> str:
        key = name.encode("latin-1")
        if key == b"authorization":
            raise KeyError(name)
        return self._head.index[key].decode("latin-1")

    def __iter__(self) -> Iterator[str]:
        return (name.decode("latin-1") for name in self._head.index if name != b"authorization")

    def __len__(self) -> int:
        return sum(1 for _ in self)


# Not frozen, as with heads: one is made for every head that has not been seen on its connection.
@dataclass(slots=True, eq=False)
class Plan:
    """Kept with the head, and good for as long as the routes are the same."""

    routes: Routes
    service: HttpService
    preview: bool
    target: bytes
    """Path and query for the replica."""
    method: str
    path: str
    headers: PolicyHeaders
    length: int | None
    """Of the body; None while it is not known."""


def plan_of(routes: Routes, service: HttpService, head: RequestHead, path: bytes, to: Addressed) -> Plan:
    """The plan for a request whose path within the endpoint is `path`."""
    return Plan(
        routes,
        service,
        to.preview,
        path + b"?" + head.query if head.query else path,
        head.method.decode("latin-1"),
        path.decode("latin-1"),
        PolicyHeaders(head),
        0 if head.content_length is None and not head.chunked else head.content_length,
    )
