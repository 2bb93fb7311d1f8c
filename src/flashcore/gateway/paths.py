"""Which endpoint a request is for: by its path, by its host, and whether it asks for the preview."""

from __future__ import annotations

from typing import NamedTuple

from flashcore.gateway.http.head import RequestHead

PREVIEW_SUFFIX = "--preview"
REVISION_HEADER = b"x-flashcore-revision"
_PREVIEW = b"preview"
_LONGEST_NUMBER = 18
"""Digits. Python refuses to read numbers of some thousands, in a way of its own."""


class Addressed(NamedTuple):
    """An endpoint's name as it was written, without the preview's suffix, and whether that was there."""

    name: str
    preview: bool


class PathParts(NamedTuple):
    """A path cut behind its first segment."""

    first: str
    rest: bytes
    """Begins with a slash, also where the path ended."""


class JobAddress(NamedTuple):
    """Where a request of the job API goes: an endpoint as it was written, a route, and what follows that."""

    name: str
    verb: str
    rest: str
    """A job, or a worker and a job; empty where nothing follows."""


def job_address(path: bytes) -> JobAddress:
    """Read the path that follows /v2."""
    name, _, rest = path[1:].decode("latin-1").partition("/")
    verb, _, rest = rest.partition("/")
    return JobAddress(name, verb, rest)


def first_segment(path: bytes) -> PathParts:
    """The first segment and what follows it. Names of endpoints need no escapes, so none are undone."""
    first, _, rest = path[1:].partition(b"/")
    return PathParts(first.decode("latin-1"), b"/" + rest)


def without_suffix(name: str) -> Addressed:
    """The endpoint that `name` means; its suffix asks for the preview."""
    if name.endswith(PREVIEW_SUFFIX):
        return Addressed(name[: -len(PREVIEW_SUFFIX)], preview=True)
    return Addressed(name, preview=False)


def addressed(name: str, head: RequestHead) -> Addressed:
    """The same for a request, whose header asks for the preview as the suffix does."""
    to = without_suffix(name)
    return Addressed(to.name, to.preview or head.index.get(REVISION_HEADER, b"").lower() == _PREVIEW)


def host_label(head: RequestHead) -> str:
    """The first label of the request's host where it has several, empty otherwise; numbers are no names."""
    host = head.index.get(b"host", b"")
    if b"." not in host or host.startswith(b"["):
        return ""
    label, _, rest = host.decode("latin-1").lower().partition(".")
    return "" if rest.partition(":")[0].replace(".", "").isdecimal() else label


def query_value(head: RequestHead, name: bytes) -> bytes | None:
    """The first value of a query parameter; the values that are asked for here need no escapes."""
    for pair in head.query.split(b"&"):
        key, _, value = pair.partition(b"=")
        if key == name:
            return value
    return None


def whole_number(text: bytes) -> int | None:
    """What a query parameter counts; None for what is no number, or a longer one than anybody means."""
    return int(text) if text.isdigit() and len(text) <= _LONGEST_NUMBER else None
