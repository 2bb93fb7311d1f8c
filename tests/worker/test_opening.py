"""What a call means to a replica, and what it does not even look into."""

from __future__ import annotations

import pytest

from flashcore.model.errors import SignatureRefused
from flashcore.model.job import Payload
from flashcore.wire import seal
from flashcore.wire.envelope import Arguments, Call
from flashcore.wire.seal import SigningKey, new_stamp
from flashcore.wire.sealed import SealedCall, seal_call
from flashcore.worker.opening import Opener

KEY = SigningKey("k")


def sealed_input(*args: object) -> Payload:
    """A job's input from somebody with the key."""
    pieces = seal_call(KEY, "calc", Call("f", arguments=Arguments(args)), new_stamp(60.0))
    return Payload(b"".join(pieces), seal.MEDIA)


def test_json_is_read_and_sealed_calls_are_opened() -> None:
    """By the type that is told of the input."""
    opener = Opener("calc", KEY)

    call = opener.input(sealed_input(1), "job-1")

    assert opener.input(Payload(b'{"a": 1}'), "job-2") == {"a": 1}
    assert isinstance(call, SealedCall)
    assert (call.function, call.arguments.args) == ("f", (1,))
    with pytest.raises(ValueError, match="reads application/json and"):
        opener.input(Payload(b"x", "text/plain"), "job-3")


def test_a_replica_without_a_key_unpickles_nothing() -> None:
    """It says why, and what to do about it."""
    with pytest.raises(SignatureRefused, match="has no key") as refused:
        Opener("calc", None).input(sealed_input(1), "job-1")

    assert "FLASHCORE_CALL_KEY" in (refused.value.next_step or "")


def test_a_job_may_be_tried_again_and_not_be_copied() -> None:
    """A second attempt is the same job; the same input in another job is somebody's copy."""
    opener, given = Opener("calc", KEY), sealed_input(1)

    opener.input(given, "job-1")
    opener.input(given, "job-1")
    with pytest.raises(SignatureRefused, match="carried out before"):
        opener.input(given, "job-2")


def test_arrays_of_a_job_can_be_written_to() -> None:
    """Though what came over the connection cannot."""
    np = pytest.importorskip("numpy")

    (array,) = Opener("calc", KEY).input(sealed_input(np.zeros(100_000)), "job-1").arguments.args
    array += 1

    assert array.sum() == 100_000
