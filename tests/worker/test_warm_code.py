"""Code that is moved before a fork: where it lies, and that it stays what it was."""

import sys
import threading
from types import CodeType
from typing import Any

import pytest

from flashcore.worker.warm_code import gather, observed

moves = pytest.mark.skipif(sys.version_info >= (3, 13), reason="code stays where it is from Python 3.13 on")

PAGE = 4096


def made(count: int) -> list[Any]:
    """Functions that each have code of their own."""
    scope: dict[str, Any] = {}
    exec("\n".join(f"def f{i}(a, b={i}):\n    return [a + b for _ in range(2)]" for i in range(count)), scope)  # noqa: S102 - our own text, as no other way makes so many
    return [scope[f"f{i}"] for i in range(count)]


def pages_of(functions: list[Any]) -> int:
    """How many pages the beginnings of their code lie in."""
    return len({id(one.__code__) // PAGE for one in functions})


def code_in(work: Any) -> set[CodeType]:
    """What is observed of it."""
    return set(observed(work))


def test_what_ran_is_observed_in_every_thread() -> None:
    """In this one, and in one that was started meanwhile; what runs later is not."""
    here, there, later = made(3)

    def work() -> None:
        here(1)
        thread = threading.Thread(target=there, args=(1,))
        thread.start()
        thread.join()

    seen = code_in(work)
    later(1)

    assert {here.__code__, there.__code__} <= seen
    assert later.__code__ not in seen


def test_who_was_observing_goes_on() -> None:
    """A profiler of somebody else is in its place again."""

    def theirs(*_: Any) -> None:
        """Notes nothing."""

    sys.setprofile(theirs)
    try:
        observed(lambda: None)
        assert sys.getprofile() is theirs
    finally:
        sys.setprofile(None)


@moves
def test_gathered_code_lies_together() -> None:
    """One function in twenty was spread over as many pages, and comes to lie in few."""
    functions = made(2000)
    hot = functions[::20]
    before = pages_of(hot)

    gather([one.__code__ for one in hot])

    assert pages_of(hot) < before / 4


@moves
def test_gathered_functions_are_what_they_were() -> None:
    """The same objects with the same names, defaults and results; so are those that they define when they run."""
    (function,) = made(1)

    def outer() -> Any:
        def inner() -> str:
            return "inner"

        return inner

    code, within = outer.__code__, outer().__code__

    gather([function.__code__, within])

    assert function(1) == [1, 1]
    assert function.__code__.co_name == "f0"
    assert outer.__code__ is not code
    assert outer.__code__ == code
    assert outer().__code__ is not within
    assert outer()() == "inner"


@moves
def test_functions_of_one_code_share_its_copy() -> None:
    """Closures of one definition have one code, before and after."""

    def maker(value: int) -> Any:
        return lambda: value

    one, two = maker(1), maker(2)

    gather([one.__code__])

    assert one.__code__ is two.__code__ is maker(3).__code__
    assert (one(), two()) == (1, 2)


def test_other_code_stays_where_it_is() -> None:
    """Nothing is done to functions that did not run."""
    hot, cold = made(2)
    code = cold.__code__

    gather([hot.__code__])

    assert cold.__code__ is code
