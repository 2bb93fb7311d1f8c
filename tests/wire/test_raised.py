"""Exceptions are taken apart over there and put together here."""

from __future__ import annotations

import asyncio
import json
import pickle
import threading

import pytest

from flashcore.wire.raised import RemoteTraceback, put_together, take_apart


class Picky(Exception):
    """Takes other things than its message."""

    def __init__(self, code: int, *, part: str) -> None:
        super().__init__(f"{part}: {code}")
        self.code = code
        self.part = part


class Holding(Exception):
    """Holds something that cannot be sent."""

    def __init__(self) -> None:
        super().__init__("held")
        self.lock = threading.Lock()
        self.name = "x"


class Refusing(Exception):
    """Cannot be made from its arguments."""

    def __init__(self) -> None:
        super().__init__("a", "b")

    def __setstate__(self, state: object) -> None:
        raise RuntimeError("no")


def there_and_back(error: BaseException) -> Exception | None:
    """What arrives of it."""
    return put_together(pickle.loads(take_apart(error, "Type", "message", "Traceback: line 1")))  # noqa: S301 - made here


@pytest.mark.parametrize(
    "error",
    [
        ValueError("a", 1),
        KeyError("k"),
        FileNotFoundError(2, "No such file", "name", None, "other"),
        UnicodeDecodeError("utf-8", b"\xff", 0, 1, "bad"),
        StopIteration(5),
        ImportError("m", name="n", path="p"),
        json.JSONDecodeError("bad", "{", 1),
        Picky(7, part="lid"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_an_exception_keeps_its_type_arguments_and_attributes(error: BaseException) -> None:
    """Built-in ones and the user's own, whatever their constructors take."""
    got = there_and_back(error)

    assert type(got) is type(error)
    assert (got.args, vars(got), str(got)) == (error.args, vars(error), str(error))
    for name in ("errno", "filename", "filename2", "encoding", "value", "code", "name", "path", "doc"):
        assert getattr(got, name, None) == getattr(error, name, None)


def test_the_remote_traceback_is_its_cause() -> None:
    """Whoever prints it sees where it was raised."""
    got = there_and_back(ValueError("x"))

    assert got is not None
    assert isinstance(got.__cause__, RemoteTraceback)
    assert "Traceback: line 1" in str(got.__cause__)


def test_notes_come_along() -> None:
    """What was added on its way up."""
    error = Picky(1, part="a")
    error.add_note("while searching")

    assert getattr(there_and_back(error), "__notes__", None) == ["while searching"]


def test_groups_keep_their_members() -> None:
    """With their attributes, within groups, too."""
    error = ExceptionGroup("two", [Picky(1, part="a"), ExceptionGroup("inner", [ValueError("b")])])

    got = there_and_back(error)

    assert isinstance(got, ExceptionGroup)
    assert got.message == "two"
    assert [type(one) for one in got.exceptions] == [Picky, ExceptionGroup]
    assert vars(got.exceptions[0]) == {"code": 1, "part": "a"}


def test_an_attribute_that_cannot_be_sent_is_left_out_with_a_note() -> None:
    """The exception is worth more than the attribute."""
    got = there_and_back(Holding())

    assert isinstance(got, Holding)
    assert (got.name, hasattr(got, "lock")) == ("x", False)
    assert got.__notes__ == ["(its attribute 'lock' could not be sent)"]


@pytest.mark.parametrize(
    "error",
    [SystemExit(3), KeyboardInterrupt(), asyncio.CancelledError(), BaseExceptionGroup("g", [SystemExit(1)])],
    ids=lambda error: type(error).__name__,
)
def test_what_would_end_or_cancel_the_caller_does_not_arrive_as_itself(error: BaseException) -> None:
    """It is told as a RemoteError."""
    assert there_and_back(error) is None


@pytest.mark.parametrize("error", [ValueError(threading.Lock()), Refusing()], ids=["argument", "refuses"])
def test_one_that_cannot_be_made_again_is_told_as_text(error: BaseException) -> None:
    """Its type, message and traceback are there all the same."""
    assert there_and_back(error) is None
