"""Sealed packages: pickled calls and replies between flashcore's own ends, signed so that only they can make one.

prelude    64 bytes, big-endian: magic "FCP1", direction u8, flags u8, Python's major and minor version u8 u8,
           expiry f64 (seconds since 1970), content length u64, nonce 16 bytes, nonce of the call that is answered
           16 bytes (zeros in a call), lengths of endpoint and function u16 u16, number of buffers u32
names      endpoint, function (`name` or `Class.method`; empty: the endpoint's only function), UTF-8
table      for each buffer its length u64 and its CRC-32 u32
content    the pickle
signature  32 bytes, HMAC-SHA256 over everything before it
buffers    raw memory of arrays and the like, each at the next multiple of 16 from the beginning

What can run code is the pickle, and nothing of it is read before the signature holds. Buffers are memory that is only
ever looked at: what is signed of them is their checksum, because hashing 100 MB takes longer than sending them does.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import struct
import sys
import time
from collections.abc import Iterator, Sequence
from enum import IntEnum
from typing import NamedTuple, TypeAlias
from zlib import crc32

from flashcore.model.errors import IncompatiblePeer, ProtocolError, PythonMismatch, SignatureRefused, Unserializable

MEDIA = "application/vnd.flashcore.sealed"
"""The content type of a package."""

CALL_LIFETIME = 300.0
"""Seconds in which a direct call has to reach its replica; the gateway may hold it for a while."""

JOB_LIFETIME = 7 * 86_400.0
"""Seconds in which a job has to begin: as long as a gateway lets one wait at most."""

LARGEST_JOB = 512 << 20
"""Bytes of a package that goes through a queue, either way; the gateway and the job store have it on disk."""

LARGEST_CALL = 2 << 30
"""Bytes of a package that goes straight to a replica, or comes from one."""

NO_NONCE = bytes(16)

_MAGIC = b"FCP1"
_PRELUDE = struct.Struct(">4sBBBBdQ16s16sHHI")
_BUFFER = struct.Struct(">QI")
_SIGNATURE = 32
_ALIGNMENT = 16
_OWN_PYTHON = sys.version_info[:2]

Bytes: TypeAlias = bytes | bytearray | memoryview


class Direction(IntEnum):
    """Which way a package goes; one never passes for another."""

    CALL = 1
    REPLY = 2
    ITEM = 3
    """One item of a stream."""


class Content(IntEnum):
    """What the pickle holds."""

    VALUE = 0
    RAISED = 1
    """An exception, see `raised`."""
    ITEMS = 2
    """All items of a stream, each a package of its own."""
    CONSTRUCTED = 3
    """A call that brings the constructor's arguments along."""


# What follows are tuples rather than dataclasses: some are made for each call, and cost a third.


class Bond(NamedTuple):
    """What a signature binds a package to."""

    endpoint: str
    function: str
    direction: Direction
    answers: bytes = NO_NONCE
    """Nonce of the call that this is a reply to."""


class Package(NamedTuple):
    """A package whose signature holds."""

    bond: Bond
    kind: Content
    nonce: bytes
    expires: float
    pickle: memoryview
    buffers: tuple[memoryview, ...]


class Stamp(NamedTuple):
    """What makes a package one of its kind, for a while. `expires` in seconds since 1970."""

    nonce: bytes
    expires: float


def new_nonce() -> bytes:
    """What nobody else makes: the time in milliseconds and 80 random bits; an index of them grows at its end."""
    return int(time.time() * 1000).to_bytes(6, "big") + os.urandom(10)


def new_stamp(lifetime: float) -> Stamp:
    """For a package that is good for so many seconds."""
    return Stamp(new_nonce(), time.time() + lifetime)


_DIRECTIONS = {int(way): way for way in Direction}
_CONTENTS = {int(kind): kind for kind in Content}


class SigningKey:
    """The secret that an environment's replicas and callers share."""

    __slots__ = ("_keyed",)

    def __init__(self, secret: str) -> None:
        key = hashlib.sha256(b"flashcore calls\0" + secret.encode()).digest()
        # The key is worked in once, not for each message; and small ones are signed without giving way to a thread.
        self._keyed = hmac.new(key, digestmod="sha256")

    def sign(self, data: Bytes) -> bytes:
        """The signature of these bytes."""
        signing = self._keyed.copy()
        signing.update(data)
        return signing.digest()

    def holds(self, data: Bytes, signature: Bytes) -> bool:
        """Whether it is theirs; in constant time."""
        return hmac.compare_digest(self.sign(data), bytes(signature))


def seal(
    key: SigningKey, bond: Bond, kind: Content, content: tuple[bytes, Sequence[memoryview]], stamp: Stamp
) -> list[Bytes]:
    """The pieces of a package, to be sent one after the other. `content` is a pickle and the memory beside it."""
    pickle, buffers = content
    endpoint, function = bond.endpoint.encode(), bond.function.encode()
    prelude = _PRELUDE.pack(
        *(_MAGIC, bond.direction, kind, *_OWN_PYTHON, stamp.expires, len(pickle), stamp.nonce, bond.answers),
        *(len(endpoint), len(function), len(buffers)),
    )
    if not buffers:
        signed = b"".join((prelude, endpoint, function, pickle))
        return [signed + key.sign(signed)]
    table = b"".join(_BUFFER.pack(buffer.nbytes, crc32(buffer)) for buffer in buffers)
    signed = b"".join((prelude, endpoint, function, table, pickle))
    return [signed, key.sign(signed), *_aligned(len(signed) + _SIGNATURE, buffers)]


def size_of(pieces: Sequence[Bytes]) -> int:
    """Bytes of all pieces together."""
    return sum(piece.nbytes if isinstance(piece, memoryview) else len(piece) for piece in pieces)


def check_size(size: int, limit: int, what: str) -> None:
    """Refuse what is larger than it may be. Raises Unserializable, with both sizes."""
    if size > limit:
        raise Unserializable(
            f"{what}: it has {size:,} bytes, {limit:,} are allowed",
            next_step="pass where it is stored, or pass it in pieces",
            path=what,
            size=size,
            limit=limit,
        )


def unseal(key: SigningKey, data: Bytes, *, endpoint: str, direction: Direction) -> Package:
    """The package in `data`, whose signature holds for this endpoint and direction. Buffers are views into it.

    Raises SignatureRefused, PythonMismatch, or ProtocolError for what is no package.
    """
    view = memoryview(data)
    if len(view) < _PRELUDE.size:
        raise _no_package("it is too short")
    magic, way, kind, major, minor, expires, length, nonce, answers, *counts = _PRELUDE.unpack_from(view)
    if magic != _MAGIC:
        raise _no_package("it begins otherwise")
    names = _PRELUDE.size + counts[0] + counts[1]
    table = names + counts[2] * _BUFFER.size
    end = table + length
    if end + _SIGNATURE > len(view):
        raise _no_package("it was cut off")
    if not key.holds(view[:end], view[end : end + _SIGNATURE]):
        raise SignatureRefused(
            "the signature of a pickled message does not hold: it was made with another key, or changed on its way",
            next_step="caller and replica must have the same FLASHCORE_CALL_KEY; without one calls are JSON",
            reason="signature",
        )
    middle = _PRELUDE.size + counts[0]
    try:
        content, bound = _CONTENTS[kind], _DIRECTIONS[way]
    except KeyError as error:
        raise IncompatiblePeer(
            f"a sealed message of kind {error} is not known here", next_step="upgrade the older end"
        ) from error
    bond = Bond(str(view[_PRELUDE.size : middle], "utf-8"), str(view[middle:names], "utf-8"), bound, answers)
    _check(bond, endpoint, direction, expires, (major, minor))
    buffers = tuple(_cut(view, names, counts[2], end + _SIGNATURE)) if counts[2] else ()
    return Package(bond, content, nonce, expires, view[table:end], buffers)


def nonce_in(data: Bytes) -> bytes:
    """The nonce of a package that nobody has checked. Raises ProtocolError for what is no package."""
    if len(data) < _PRELUDE.size or bytes(data[:4]) != _MAGIC:
        raise _no_package("it begins otherwise")
    nonce: bytes = _PRELUDE.unpack_from(data)[7]
    return nonce


class Nonces:
    """Nonces that were seen, each until it would be refused for its age. For one thread."""

    def __init__(self, most: int = 200_000) -> None:
        self._most = most
        self._seen: dict[bytes, tuple[float, str]] = {}
        self._look_at = 1_000

    def take(self, package: Package, holder: str) -> None:
        """Note it; the same holder (an attempt at the same job) may come again. Raises SignatureRefused."""
        known = self._seen.get(package.nonce)
        if known is not None and known[1] != holder:
            raise SignatureRefused(
                "this pickled call was carried out before; somebody sends it again",
                next_step="make the call anew: each one is signed for itself",
                reason="replay",
            )
        self._seen[package.nonce] = (package.expires, holder)
        if len(self._seen) > self._look_at:
            self._forget()

    def _forget(self) -> None:
        now = time.time()
        kept = [(nonce, seen) for nonce, seen in self._seen.items() if seen[0] > now]
        self._seen = dict(kept[-self._most :])
        self._look_at = max(1_000, 2 * len(self._seen))


def _check(bond: Bond, endpoint: str, direction: Direction, expires: float, python: tuple[int, int]) -> None:
    """What the signature is bound to, now that it is known to hold."""
    if bond.endpoint != endpoint or bond.direction is not direction:
        raise SignatureRefused(
            f"this message was signed as a {bond.direction.name.lower()} of endpoint {bond.endpoint!r}, "
            f"and came as a {direction.name.lower()} of {endpoint!r}",
            reason="bond",
        )
    if expires < time.time():
        raise SignatureRefused(
            f"the signature of a pickled {direction.name.lower()} ran out {time.time() - expires:.0f} s ago",
            next_step="make the call anew; if that is no help, compare the clocks of both machines",
            reason="expired",
        )
    if python != _OWN_PYTHON:
        raise _mismatch(direction, python)


def _mismatch(direction: Direction, python: tuple[int, int]) -> PythonMismatch:
    """A caller can pickle otherwise; a result is pickled already, by the version that its caller has, too."""
    theirs, ours = ("{}.{}".format(*version) for version in (python, _OWN_PYTHON))
    if direction is Direction.CALL:
        what = "a call"
        next_step = f"use Python {ours} at both ends, or pass JSON: set FLASHCORE_CALL_KEY to nothing at the caller"
    else:
        what = "a result" if direction is Direction.REPLY else "an item of a stream"
        next_step = f"read it with Python {theirs}, by which it was called"
    return PythonMismatch(
        f"{what} was pickled by Python {theirs}, and this is Python {ours}",
        next_step=next_step,
        theirs=theirs,
        ours=ours,
    )


def _aligned(position: int, buffers: Sequence[memoryview]) -> Iterator[Bytes]:
    for buffer in buffers:
        gap = -position % _ALIGNMENT
        if gap:
            yield bytes(gap)
        yield buffer
        position += gap + buffer.nbytes


def _cut(view: memoryview, table: int, count: int, position: int) -> Iterator[memoryview]:
    for number in range(count):
        length, checksum = _BUFFER.unpack_from(view, table + number * _BUFFER.size)
        position += -position % _ALIGNMENT
        buffer = view[position : position + length]
        if len(buffer) != length or crc32(buffer) != checksum:
            raise SignatureRefused("the memory beside a pickled message is not what was signed", reason="buffers")
        yield buffer
        position += length


def _no_package(problem: str) -> ProtocolError:
    return ProtocolError(f"this is no sealed message of flashcore's: {problem}", next_step="check the content type")
