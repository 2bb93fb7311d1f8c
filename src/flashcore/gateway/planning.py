"""What is known of a request from its head alone, by one table: where it goes, and what a policy may see of it."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from time import monotonic

from flashcore.gateway.http.head import RequestHead
from flashcore.gateway.http_service import HttpService
from flashcore.gateway.paths import REVISION_HEADER, host_label
from flashcore.gateway.routes import Routes
from flashcore.hookspecs.routing import RoutedRequest

_HOSTS_KEPT = 256


class PolicyHeaders(Mapping[str, str]):
    """A request's headers as a policy may see them, read only when it looks."""

    __slots__ = ("_index",)

    def __init__(self, index: Mapping[bytes, bytes]) -> None:
        self._index = index

    def __getitem__(self, name: str) -> str:
        key = name.encode("latin-1")
        if key == b"authorization":
            raise KeyError(name)
        return self._index[key].decode("latin-1")

    def __iter__(self) -> Iterator[str]:
        return (name.decode("latin-1") for name in self._index if name != b"authorization")

    def __len__(self) -> int:
        return sum(1 for _ in self)


# Not frozen, as with heads: one is made for every head that has not been seen on its connection.
@dataclass(slots=True, eq=False)
class Plan:
    """Kept with the head, and good for as long as the routes are the same and it leads. It does not hold the head."""

    routes: Routes
    service: HttpService
    preview: bool
    asked: bytes
    """Path and query as the client wrote them."""
    target: bytes
    """The same for the replica."""
    place: bytes
    """What all targets begin with that belong to this endpoint."""

    def leads(self, head: RequestHead) -> bool:
        """Whether it holds for this head: its own, which may ask for something else of the same endpoint by now."""
        asked = head.target
        if asked is self.asked:
            return True
        if not asked.startswith(self.place):
            return False
        self.asked = asked
        self.target = asked[len(self.place) - 1 :]
        return True


def plan_of(routes: Routes, service: HttpService, head: RequestHead, cut: int, *, preview: bool) -> Plan:
    """The plan for a request, `cut` bytes of whose path say for which endpoint it is."""
    asked = head.target
    target = asked[cut:]
    # An OPTIONS for all of a host names no path, also on its way on (RFC 9112 3.2.4).
    target = target if target[:1] == b"/" or asked == b"*" else b"/" + target
    return Plan(routes, service, preview, asked, target, asked[:cut] + b"/")


class SeenRequest(RoutedRequest):
    """A request as its policy sees it: a field is made when it is first looked at, since most policies look at none."""

    __slots__ = ("_head", "_target")
    _head: RequestHead
    _target: bytes

    def __getattr__(self, name: str) -> object:
        """A field that nobody has looked at before. Raises AttributeError."""
        read = _LOOKS.get(name)
        if read is None:
            raise AttributeError(f"a routed request has no {name!r}")
        value = read(self._head, self._target)
        setattr(self, name, value)
        return value


_LOOKS: Mapping[str, Callable[[RequestHead, bytes], object]] = {
    "method": lambda head, _: head.method.decode("latin-1"),
    "path": lambda _, target: target.partition(b"?")[0].decode("latin-1"),
    "headers": lambda head, _: PolicyHeaders(head.index),
    "body_length": lambda head, _: None if head.chunked else head.content_length or 0,
    "body_start": lambda *_: b"",
    "now": lambda *_: monotonic(),
}


def seen_request(head: RequestHead, target: bytes) -> SeenRequest:
    """What a policy is shown of a request that goes on for `target`, its time that of the first look."""
    request = SeenRequest.__new__(SeenRequest)  # its __init__ is that of any RoutedRequest, for policies that copy one
    request._head = head  # noqa: SLF001 - as above
    request._target = target  # noqa: SLF001 - as above
    return request


class Signposts:
    """Where the usual requests go, by one table: those for a path under an endpoint's name, sent to a plain host."""

    def __init__(self, routes: Routes, reserved: Collection[str] = ()) -> None:
        self.routes = routes
        self._by_segment = {
            name.encode("latin-1"): service for name, service in routes.http.items() if name not in reserved
        }
        self._plain_hosts: set[bytes] = set()

    def plan(self, head: RequestHead) -> Plan | None:
        """The plan for such a request; None for any other."""
        index, path = head.index, head.path
        if REVISION_HEADER in index or not self._is_plain(index.get(b"host", b""), head):
            return None
        end = path.find(b"/", 1)
        cut = len(path) if end < 0 else end
        service = self._by_segment.get(path[1:cut])
        return None if service is None else plan_of(self.routes, service, head, cut, preview=False)

    def _is_plain(self, host: bytes, head: RequestHead) -> bool:
        """Whether the host's name says nothing of an endpoint."""
        if host in self._plain_hosts:
            return True
        if host_label(head):
            return False
        if len(self._plain_hosts) < _HOSTS_KEPT:
            self._plain_hosts.add(host)
        return True
