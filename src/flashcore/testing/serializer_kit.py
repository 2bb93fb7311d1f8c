"""What every serializer has to do, as functions that need no test framework, and as a class for pytest.

A serializer's whole test file:

    from flashcore.testing.serializer_kit import SerializerKit
    from flashcore_acme import AcmeSerializer

    class TestAcme(SerializerKit):
        untrusted = True
        def serializer(self): return AcmeSerializer()

One for values of some kind only says which: `def values(self): return (...)`. The functions take a Subject and raise
Nonconformance, or NotAsked where the check is about something that the serializer does not claim.
"""

from __future__ import annotations

import pickle
import re
import threading
from abc import abstractmethod
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, ClassVar

from flashcore.hookspecs.serializers import DecodeError, EncodeError, Serializer
from flashcore.testing.conformance import Nonconformance, require
from flashcore.testing.kit import Check, Kit, checks_of, skip
from flashcore.testing.store_checks.subject import NotAsked

PLAIN: tuple[Any, ...] = (
    *(None, True, False, 0, -1, 2**53 - 1, 1.5, -0.25, "", "text", "ünï\u2028\0", [], {}),
    *([1, [2, [3, []]]], {"a": {"b": [None, "c"]}, "": 1}, list(range(10_000)), "x" * 100_000),
)
"""Values that JSON has, too."""

_MEDIA = re.compile(r"[a-z0-9][a-z0-9!#$&^_.+-]*/[a-z0-9][a-z0-9!#$&^_.+-]*")
_STRANGERS = (b"", b"\0", b"{", b"nonsense", b"\xff\xfe", b"[" * 100_000, b"\x80\x05.", bytes(range(256)))


@dataclass(frozen=True, slots=True)
class Subject:
    """What is tested: how it is made, values that it has a form for, and what its record claims."""

    make: Callable[[], Serializer]
    values: Sequence[Any] = PLAIN
    untrusted: bool = False


def check_media_type(subject: Subject) -> None:
    """It says which media type it is for, in lower case and without parameters."""
    media = subject.make().media_type
    require(isinstance(media, str) and _MEDIA.fullmatch(media), "media_type is one, as in application/json", media)


def check_round_trip(subject: Subject) -> None:
    """What was encoded is decoded elsewhere to an equal value; buffers arrive as other memory."""
    for value in subject.values:
        data, buffers = _encoded(subject, value)
        received = tuple(memoryview(bytes(buffer)) for buffer in buffers)
        require(_equal(subject.make().decode(data, received), value), "a value comes back as it was", value)


def check_the_same_bytes_again(subject: Subject) -> None:
    """A value is encoded as it is, whatever was encoded before it."""
    serializer = subject.make()
    for value in subject.values:
        first = _plainly(serializer.encode(value))
        require(_plainly(serializer.encode(value)) == first, "the same value gives the same bytes", value)


def check_any_thread(subject: Subject) -> None:
    """One serializer is used by many threads at the same time."""
    serializer, together = subject.make(), threading.Barrier(8)

    def work(_: int) -> bool:
        together.wait()
        try:
            return all(_equal(serializer.decode(*serializer.encode(value)), value) for value in subject.values)
        except Exception as error:
            raise Nonconformance(f"any thread may use a serializer; seen: {error!r}") from error

    with ThreadPoolExecutor(8) as pool:
        require(all(pool.map(work, range(8))), "values come back as they were, from eight threads at once")


def check_what_has_no_form_is_said(subject: Subject) -> None:
    """A lock has a form nowhere; the error says where it stood."""
    for value in (threading.Lock(), {"handles": [1, threading.Lock()]}):
        try:
            subject.make().encode(value)
        except EncodeError as error:
            require("path" in error.data, "an EncodeError has the path of what has no form", error)
        except Exception as error:
            raise Nonconformance(f"what has no form is an EncodeError; seen: {error!r}") from error
        else:
            raise Nonconformance(f"what has no form is an EncodeError; {value!r} was encoded")


def check_a_cut_message_is_a_decode_error(subject: Subject) -> None:
    """Or another value; never an error of another kind, which nobody expects."""
    for value in subject.values:
        data, buffers = _encoded(subject, value)
        for length in {0, 1, len(data) // 2, max(0, len(data) - 1)}:
            _decode_safely(subject, data[:length], buffers)


def check_strangers_bytes_do_no_harm(subject: Subject) -> None:
    """Only of who claims `untrusted`: bytes of unknown origin are a value or a DecodeError, and run nothing."""
    if not subject.untrusted:
        raise NotAsked("this serializer does not claim `untrusted`: it is given signed bytes only")
    for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
        _Bomb.exploded.clear()
        _decode_safely(subject, pickle.dumps(_Bomb(), protocol), ())
        require(not _Bomb.exploded, "decoding runs no code that came with the bytes")
    for data in _STRANGERS:
        _decode_safely(subject, data, ())


class SerializerKit(Kit):
    """Subclass it, call the subclass Test..., and say how to make the serializer."""

    checks = checks_of(globals())
    untrusted: ClassVar[bool] = False
    """Whether its record claims that capability."""

    @abstractmethod
    def serializer(self) -> Serializer:
        """A fresh serializer."""

    def values(self) -> Sequence[Any]:
        """Values that it has a form for."""
        return PLAIN

    def examine(self, check: Check) -> None:
        """Run one check."""
        try:
            check(Subject(self.serializer, self.values(), self.untrusted))
        except NotAsked as reason:
            skip(str(reason))


class _Bomb:
    """Says so when it is unpickled."""

    exploded: ClassVar[list[str]] = []

    def __reduce__(self) -> tuple[Callable[[str], None], tuple[str]]:
        return _explode, ("unpickled",)


def _explode(what: str) -> None:
    _Bomb.exploded.append(what)


def _encoded(subject: Subject, value: Any) -> tuple[bytes, tuple[memoryview, ...]]:
    encoded = subject.make().encode(value)
    shape = isinstance(encoded, tuple) and len(encoded) == 2 and isinstance(encoded[0], bytes)
    require(shape and isinstance(encoded[1], tuple), "encode() gives bytes and a tuple of buffers", type(encoded))
    require(all(isinstance(one, memoryview) for one in encoded[1]), "buffers are memoryviews", encoded[1])
    return encoded


def _plainly(encoded: tuple[bytes, tuple[memoryview, ...]]) -> tuple[bytes, list[bytes]]:
    return encoded[0], [bytes(buffer) for buffer in encoded[1]]


def _equal(decoded: Any, value: Any) -> bool:
    same = decoded == value
    # An array compares item by item.
    return type(decoded) is type(value) and (same if isinstance(same, bool) else bool(same.all()))


def _decode_safely(subject: Subject, data: bytes, buffers: tuple[memoryview, ...]) -> None:
    try:
        subject.make().decode(data, buffers)
    except DecodeError:
        return
    except Exception as error:
        raise Nonconformance(f"bytes that are no value are a DecodeError; seen: {error!r} of {data[:40]!r}") from error
