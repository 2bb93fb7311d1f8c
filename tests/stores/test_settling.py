"""What memory lets go of step by step, once it is in the tables."""

from collections.abc import Iterable
from typing import cast

from hypothesis import given
from hypothesis import strategies as st

from flashcore.builtin.sqlite.jobs import settling
from flashcore.builtin.sqlite.jobs.book import Book
from flashcore.builtin.sqlite.jobs.settling import Settling


class Heard:
    """In the place of a book: what it was told."""

    def __init__(self) -> None:
        self.settled: list[tuple[int, int]] = []
        self.most = 0

    def settle(self, numbers: Iterable[int], last: int) -> None:
        """As `Book.settle`."""
        some = [(n, last) for n in numbers]
        self.settled += some
        self.most = max(self.most, len(some))


@given(st.lists(st.integers(0, 300), max_size=8), st.integers(0, 3))
def test_all_that_is_in_the_tables_is_settled_in_its_order(sizes: list[int], steps_between: int) -> None:
    """However it comes, in steps that are never much larger than their part of what waits."""
    heard, waiting = Heard(), Settling()
    book = cast("Book", heard)
    expected = []
    for last, size in enumerate(sizes, 1):
        waiting.add(range(size), last)
        expected += [(n, last) for n in range(size)]
        for _ in range(steps_between):
            waiting.step(book)
    left = len(expected) - len(heard.settled)
    steps = 0
    while waiting:
        waiting.step(book)
        steps += 1

    assert heard.settled == expected
    assert heard.most <= max(settling.FEWEST, sum(sizes) // settling.PART)
    assert steps <= left // settling.FEWEST + 1 + len(sizes)


def test_what_waits_is_forgotten_when_memory_is_filled_anew() -> None:
    """It was of the book before."""
    heard, waiting = Heard(), Settling()
    waiting.add(range(3), 1)
    waiting.clear()
    waiting.step(cast("Book", heard))

    assert (heard.settled, bool(waiting)) == ([], False)
