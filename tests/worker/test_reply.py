"""The forms in which values go back: JSON, and sealed packages."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest

from flashcore.client.job_calls import JobCall
from flashcore.model.errors import Unserializable
from flashcore.model.names import EndpointName
from flashcore.wire import seal
from flashcore.wire.envelope import Arguments, Call, unwrap_item, unwrap_value
from flashcore.wire.seal import SigningKey, new_stamp
from flashcore.wire.sealed import open_call, open_item, open_reply, seal_call
from flashcore.worker.failure import failure_of
from flashcore.worker.reply import JsonReply, Reply, SealedReply

KEY = SigningKey("k")


def sealed_reply() -> SealedReply:
    """The reply to a sealed call."""
    return SealedReply(open_call(KEY, "calc", b"".join(seal_call(KEY, "calc", Call("f"), new_stamp(60.0)))))


def json_reply() -> JsonReply:
    """The reply to a call in the envelope."""
    return JsonReply(enveloped=True)


def test_items_in_json_are_numbered_in_the_envelope_alone() -> None:
    """Q11: who knows of the envelope can tell what is missing; who does not gets bare values."""
    enveloped, bare = JsonReply(enveloped=True), JsonReply(enveloped=False)

    items = [unwrap_item(json.loads(bytes(enveloped.item(value).data))) for value in "ab"]

    assert items == [(0, "a"), (1, "b")]
    assert unwrap_value(json.loads(bytes(enveloped.items().data))) == ["a", "b"]
    assert (bare.item("a").data, bare.items().data) == (b'"a"', b'["a"]')


def test_sealed_items_are_numbered_and_all_of_them_are_the_value() -> None:
    """Q11: the same for sealed calls; an item is as it was when it was yielded."""
    reply = sealed_reply()
    growing: list[int] = []
    payloads = []
    for number in range(3):
        growing.append(number)
        payloads.append(reply.item(growing))

    assert [open_item(KEY, "calc", payload.data, None) for payload in payloads] == [
        (0, [0]),
        (1, [0, 1]),
        (2, [0, 1, 2]),
    ]
    assert open_reply(KEY, "calc", reply.items().data, None, "f") == [[0], [0, 1], [0, 1, 2]]


def test_an_exception_has_a_form_in_sealed_replies_alone() -> None:
    """JSON callers get the text that everybody gets."""
    error = KeyError("k")

    payload = sealed_reply().raised(error, failure_of(error))

    assert json_reply().raised(error, failure_of(error)) is None
    assert payload is not None
    with pytest.raises(KeyError, match="k"):
        open_reply(KEY, "calc", payload.data, None, "f")


@pytest.mark.parametrize("make", [json_reply, sealed_reply])
def test_a_result_over_the_limit_is_refused_with_both_sizes(
    make: Callable[[], Reply], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Q13: of a whole result, and of one item."""
    monkeypatch.setattr(seal, "LARGEST_JOB", 1_000)

    with pytest.raises(Unserializable, match=r"result: it has 2,\d\d\d bytes, 1,000 are allowed"):
        make().value("x" * 2_000)
    with pytest.raises(Unserializable, match=r"item\[0\]: it has 2,\d\d\d bytes, 1,000 are allowed"):
        make().item("x" * 2_000)


def test_arguments_over_the_limit_are_refused_before_they_are_sent() -> None:
    """Q13: with both sizes."""
    call = JobCall(EndpointName("calc"), Call("f", arguments=Arguments(("x" * 2_000,))), "calc.f", limit=1_000)

    with pytest.raises(Unserializable, match=r"calc\.f: arguments: it has 2,\d\d\d bytes, 1,000 are allowed"):
        call.sealed(KEY, new_stamp(60.0))
