"""The functions themselves, called here: `.local` needs no server."""

import asyncio

from app import Tally, count_words, greet{% if cookiecutter.http %}, hello{% endif %}



def test_greets_by_name() -> None:
    """The world, if nobody is named."""
    assert greet.local("Ada") == "Hello, Ada!"
    assert greet.local() == "Hello, world!"


def test_counts_words_without_regard_to_case() -> None:
    """An async function is awaited here, too."""
    assert asyncio.run(count_words.local("To be or not to be")) == {"to": 2, "be": 2, "or": 1, "not": 1}


def test_a_tally_remembers() -> None:
    """An instance of the class itself."""
    tally = Tally.local(start=40)  # type: ignore[attr-defined]  # mypy does not see what a decorator makes of a class

    assert tally.add() == 41
    assert tally.add(2) == 43
{% if cookiecutter.http %}


def test_a_loud_greeting_is_in_capitals() -> None:
    """A route is a function like any other."""
    assert asyncio.run(hello.local("Ada", loud=True)) == {"greeting": "HELLO, ADA!"}
{% endif %}
