"""Values that are cheap to make are values all the same."""

from __future__ import annotations

from dataclasses import replace

import pytest

from flashcore.model.job import JobStatus, NewJob, Payload, StreamItem
from flashcore.model.light import light
from flashcore.model.names import EndpointName, JobId


def test_light_values_are_compared_and_hashed_by_their_fields() -> None:
    """As those of a frozen dataclass."""
    item = StreamItem(1, Payload(b"x"))

    assert item == StreamItem(1, Payload(b"x"))
    assert hash(item) == hash(StreamItem(1, Payload(b"x")))
    assert item != replace(item, number=2)


def test_light_values_are_checked_when_they_are_made() -> None:
    """What a class does after the fields are set is done."""
    with pytest.raises(ValueError, match="a lane is 0 to 99, not 100"):
        NewJob(JobId("a"), EndpointName("e"), Payload(b""), 100)


def test_light_values_have_no_room_for_anything_else() -> None:
    """A field that is not declared is a mistake."""

    @light
    class Point:
        across: int
        up: int = 0

    with pytest.raises(AttributeError):
        setattr(Point(1), "down", JobStatus.FAILED)  # noqa: B010 - what the type checker would refuse
