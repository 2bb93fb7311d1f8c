"""Sealed calls and replies: what holds, what is refused, and that nothing is unpickled before."""

from __future__ import annotations

import array
import sys
import time
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flashcore.model.errors import (
    CannotUnpickle,
    IncompatiblePeer,
    ProtocolError,
    PythonMismatch,
    SignatureRefused,
    Unserializable,
)
from flashcore.wire import seal, sealed
from flashcore.wire.envelope import Arguments, Call
from flashcore.wire.seal import Content, Direction, Nonces, SigningKey, Stamp, new_stamp
from flashcore.wire.sealed import SealedCall, open_call, open_item, open_reply, seal_call, seal_item, seal_value

KEY = SigningKey("one")
TOUCHED: list[str] = []


def touch() -> None:
    """Leave a trace."""
    TOUCHED.append("touched")


class Touches:
    """Leaves a trace when it is unpickled."""

    def __reduce__(self) -> tuple[Any, ...]:
        return touch, ()


def packed(*args: Any, key: SigningKey = KEY, stamp: Stamp | None = None, **kwargs: Any) -> bytearray:
    """A call of `calc.echo`."""
    call = Call("echo", arguments=Arguments(args, kwargs))
    return bytearray(b"".join(seal_call(key, "calc", call, stamp or new_stamp(60.0))))


def opened(*args: Any) -> SealedCall:
    """The same, at its replica."""
    return open_call(KEY, "calc", packed(*args))


def test_a_call_arrives_with_all_its_parts() -> None:
    """Function, method, arguments and the constructor's."""
    call = Call("Index", "search", Arguments(("q",), {"k": (1, 2)}), Arguments(({3},), {"path": "p"}))
    data = b"".join(seal_call(KEY, "calc", call, new_stamp(60.0)))

    got = open_call(KEY, "calc", data)

    assert (got.function, got.method) == ("Index", "search")
    assert (got.arguments.args, got.arguments.kwargs) == (("q",), {"k": (1, 2)})
    assert got.constructor is not None
    assert (got.constructor.args, got.constructor.kwargs) == (({3},), {"path": "p"})
    assert opened(1).constructor is None


def test_large_memory_travels_beside_the_pickle_without_a_copy() -> None:
    """It is sent from where it lies, and lies at a multiple of 16 over there."""
    np = pytest.importorskip("numpy")
    values = np.arange(100_000.0)

    pieces = seal_call(KEY, "calc", Call("echo", arguments=Arguments((values, values[:50_000]))), new_stamp(60.0))
    (first, second) = open_call(KEY, "calc", bytearray(b"".join(pieces))).arguments.args

    assert sum(isinstance(piece, memoryview) for piece in pieces) == 2
    assert (first == values).all()
    assert (second == values[:50_000]).all()
    assert first.flags.aligned
    assert first.flags.writeable


def forged(data: bytearray) -> bytearray:
    """One bit is another one."""
    data[-40] ^= 1
    return data


def cut_off(data: bytearray) -> bytearray:
    """The end is missing."""
    return data[:-1]


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (forged, "does not hold"),
        (cut_off, "cut off"),
        (lambda data: b"XXXX" + data[4:], "begins otherwise"),
        (lambda data: data[:10], "too short"),
        (lambda data: data[:40] + b"\xff" + data[41:], "does not hold|cut off"),
    ],
)
def test_what_was_changed_on_its_way_is_refused_before_it_is_unpickled(
    spoil: Callable[[bytearray], bytes], said: str
) -> None:
    """Unpickling it would run code."""
    TOUCHED.clear()

    with pytest.raises((SignatureRefused, ProtocolError), match=said):
        open_call(KEY, "calc", spoil(packed(Touches())))

    assert TOUCHED == []


@given(st.integers(0, 10_000), st.integers(1, 255))
def test_no_byte_of_what_is_signed_can_be_changed(at: int, by: int) -> None:
    """Whichever it is, the package is refused."""
    data = packed("text", 5, key_word=(1.5, None))
    data[at % len(data)] ^= by

    with pytest.raises((SignatureRefused, ProtocolError)):
        open_call(KEY, "calc", data)


def test_changed_memory_beside_the_pickle_is_refused() -> None:
    """Its checksum is part of what is signed."""
    np = pytest.importorskip("numpy")
    data = packed(np.zeros(100_000))
    data[-5] ^= 1

    with pytest.raises(SignatureRefused, match="memory beside"):
        open_call(KEY, "calc", data)


def test_nothing_is_unpickled_until_somebody_asks_for_the_arguments() -> None:
    """The function's own thread does it, not the one that talks to the gateway."""
    TOUCHED.clear()

    call = opened(Touches())
    before = list(TOUCHED)
    _ = call.arguments.args, call.arguments.kwargs

    assert (before, TOUCHED) == ([], ["touched"])


def test_another_key_is_refused() -> None:
    """Whoever does not know the key can make nothing that is unpickled."""
    with pytest.raises(SignatureRefused, match="another key") as refused:
        open_call(SigningKey("two"), "calc", packed(1))
    assert refused.value.data["reason"] == "signature"


def test_a_call_is_good_for_its_endpoint_and_direction_alone() -> None:
    """One that was overheard is of no use elsewhere."""
    with pytest.raises(SignatureRefused, match="endpoint 'calc'"):
        open_call(KEY, "other", packed(1))
    with pytest.raises(SignatureRefused, match="as a call"):
        open_reply(KEY, "calc", packed(1), None, "calc.echo")
    reply = b"".join(seal_value(opened(1), 2))
    with pytest.raises(SignatureRefused, match="as a reply"):
        open_call(KEY, "calc", reply)
    with pytest.raises(SignatureRefused, match="as a reply"):
        open_item(KEY, "calc", reply, None)


def test_a_reply_is_good_for_its_call_alone() -> None:
    """The reply to another call cannot be slipped in."""
    one, other = opened(1), opened(1)
    reply = b"".join(seal_value(one, "value"))

    assert open_reply(KEY, "calc", reply, one.package.nonce, "calc.echo") == "value"
    assert open_reply(KEY, "calc", reply, None, "calc.echo") == "value"
    with pytest.raises(SignatureRefused, match="another call"):
        open_reply(KEY, "calc", reply, other.package.nonce, "calc.echo")


def test_a_signature_runs_out() -> None:
    """What is found later is of no use."""
    late = Stamp(bytes(16), time.time() - 3.0)

    with pytest.raises(SignatureRefused, match="ran out 3 s ago") as refused:
        open_call(KEY, "calc", packed(1, stamp=late))
    assert refused.value.data["reason"] == "expired"


def test_a_call_that_comes_twice_is_refused_unless_it_is_the_same_job() -> None:
    """A second attempt at a job is one; somebody who repeats what was overheard is not."""
    seen = Nonces()
    package = opened(1).package

    seen.take(package, "job-1")
    seen.take(package, "job-1")
    with pytest.raises(SignatureRefused, match="carried out before"):
        seen.take(package, "job-2")


def test_numbers_are_forgotten_when_their_signatures_have_run_out() -> None:
    """The memory of a replica that is called for years does not grow."""
    seen = Nonces(most=50)
    for number in range(3_000):
        expires = time.time() + (-1.0 if number % 2 else 60.0)
        bond = seal.Bond("calc", "echo", Direction.CALL)
        package = seal.Package(bond, Content.VALUE, number.to_bytes(16), expires, memoryview(b""), ())
        seen.take(package, "")

    assert len(seen._seen) <= 1_100  # noqa: SLF001 - what is asked


def test_another_minor_version_of_python_is_a_typed_error(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pickles of code and of many a library do not travel between them."""
    data = packed(1)
    monkeypatch.setattr(seal, "_OWN_PYTHON", (3, sys.version_info.minor + 1))

    with pytest.raises(PythonMismatch, match=rf"Python 3\.{sys.version_info.minor}, and this is Python 3\."):
        open_call(KEY, "calc", data)


def test_results_for_another_minor_version_name_the_one_that_reads_them(monkeypatch: pytest.MonkeyPatch) -> None:
    """They are pickled already: no setting of this process makes JSON of them."""
    call = opened(1)
    reply, item = b"".join(seal_value(call, 1)), b"".join(seal_item(call, 0, 1))
    monkeypatch.setattr(seal, "_OWN_PYTHON", (3, sys.version_info.minor + 1))

    read_it = rf"next: read it with Python 3\.{sys.version_info.minor},"
    with pytest.raises(PythonMismatch, match=rf"(?s)^a result was pickled.*{read_it}"):
        open_reply(KEY, "calc", reply, None, "calc.echo")
    with pytest.raises(PythonMismatch, match=rf"(?s)^an item of a stream was pickled.*{read_it}"):
        open_item(KEY, "calc", item, None)


def test_a_kind_of_a_later_version_is_a_typed_error(monkeypatch: pytest.MonkeyPatch) -> None:
    """Signed, so somebody meant it."""
    data = packed(1)
    monkeypatch.setattr(seal, "_CONTENTS", {})

    with pytest.raises(IncompatiblePeer, match="upgrade the older end"):
        open_call(KEY, "calc", data)


def test_items_are_numbered() -> None:
    """One that comes twice, or is missing, is seen."""
    call = opened(1)
    items = [b"".join(seal_item(call, number, value)) for number, value in enumerate("ab")]
    whole = b"".join(sealed.seal_items(call, items))

    assert [open_item(KEY, "calc", item, call.package.nonce) for item in items] == [(0, "a"), (1, "b")]
    assert open_reply(KEY, "calc", whole, call.package.nonce, "calc.echo") == ["a", "b"]


def test_what_takes_cloudpickle_says_so_where_there_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    """In another Python that was found on the machine, say; nothing is wrong with the values."""
    call = opened(1)
    sealed_call = packed(lambda: 1)
    monkeypatch.setitem(sys.modules, "cloudpickle", None)
    monkeypatch.delitem(sys.modules, "cloudpickle.cloudpickle")

    with pytest.raises(Unserializable, match=r"result: pickling this takes cloudpickle.*\n  next: install it"):
        seal_value(call, {"one": 1, "function": lambda: 2})
    with pytest.raises(CannotUnpickle, match=r"(?s)cloudpickle.*next: install it; in an endpoint: dependencies="):
        _ = open_call(KEY, "calc", sealed_call).arguments.args


def test_what_is_not_installed_here_is_a_typed_error() -> None:
    """The message says what to do about it."""
    call = opened(1)
    data = b"".join(sealed._reply(call, Content.VALUE, (b"cno_such_module\nThing\n.", ())))  # noqa: SLF001 - made by hand

    with pytest.raises(CannotUnpickle, match="No module named 'no_such_module'") as refused:
        open_reply(KEY, "calc", data, None, "calc.echo")
    assert "install" in (refused.value.next_step or "")


def test_what_cannot_be_pickled_is_named_with_its_path() -> None:
    """Deep within, through containers, dataclasses and plain objects."""

    class Held:
        """Has a part that cannot be pickled."""

        def __init__(self) -> None:
            self.generator = (number for number in range(3))

    with pytest.raises(Unserializable, match=r"options\['a'\]\[1\]\.generator: generator cannot be pickled"):
        packed(1, options={"a": [0, Held()]})


def test_an_array_of_the_standard_library_is_a_value_like_any_other() -> None:
    """Small memory goes into the pickle."""
    assert opened(array.array("d", [1.5])).arguments.args == (array.array("d", [1.5]),)


def test_the_key_comes_from_the_environment() -> None:
    """An empty one is none: calls are JSON then."""
    assert sealed.key_in({}) is None
    assert sealed.key_in({"FLASHCORE_CALL_KEY": ""}) is None
    key = sealed.key_in({"FLASHCORE_CALL_KEY": "one"})
    assert key is not None
    assert key.sign(b"x") == KEY.sign(b"x")
