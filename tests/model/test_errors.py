"""Errors keep what they say on their way through another process."""

from __future__ import annotations

import pytest

from flashcore.model import errors


def every_error() -> list[type[errors.FlashcoreError]]:
    """All classes of the tree."""
    found, pending = [], [errors.FlashcoreError]
    while pending:
        cls = pending.pop()
        found.append(cls)
        pending += cls.__subclasses__()
    return found


@pytest.mark.parametrize(
    "cls", [cls for cls in every_error() if cls.__module__ == errors.__name__], ids=lambda cls: cls.__name__
)
def test_an_error_comes_back_as_itself_from_json(cls: type[errors.FlashcoreError]) -> None:
    """Class, message, next step and data survive."""
    error = cls("it broke", next_step="mend it", endpoint="hello")

    again = errors.error_from_json(error.as_json())

    assert type(again) is cls
    assert (again.message, again.next_step, again.data) == (error.message, error.next_step, error.data)


def test_codes_are_unique() -> None:
    """A code names one class; a plugin's may be there twice, where its module was imported anew."""
    codes = {f"{cls.__module__}.{cls.__qualname__}": cls.code for cls in every_error()}

    assert len(codes) == len(set(codes.values()))


def test_an_error_with_a_constructor_of_its_own_is_still_an_error() -> None:
    """What was said of it is shown, under the root's name."""

    class Particular(errors.FlashcoreError):
        code = "particular_to_this_test"

        def __init__(self, path: str) -> None:
            super().__init__(f"{path} is bad", next_step="mend it", path=path)

    again = errors.error_from_json(Particular("a.b").as_json())

    assert (again.message, again.next_step, again.data) == ("a.b is bad", "mend it", {"path": "a.b"})


def test_an_unknown_code_is_still_an_error() -> None:
    """A newer server's error is shown, not swallowed."""
    again = errors.error_from_json({"code": "from_the_future", "message": "oh"})

    assert type(again) is errors.FlashcoreError
    assert again.message == "oh"


def test_a_remote_error_shows_the_remote_traceback() -> None:
    """The person sees where in their code it happened."""
    error = errors.RemoteError("no", type_name="ValueError", remote_traceback="Traceback ...\n  line 3\n")

    assert str(error) == "ValueError: no\n--- remote traceback ---\nTraceback ...\n  line 3"


def test_a_remote_error_without_frames_says_it_once() -> None:
    """What the worker refuses by itself has no place in the user's code."""
    error = errors.RemoteError(
        "no f\n  next: g", type_name="TypeError", remote_traceback="TypeError: no f\n  next: g\n"
    )

    assert str(error) == "TypeError: no f\n  next: g"
