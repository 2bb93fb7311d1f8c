"""What is told of an exception in user code."""

import importlib
import json
import sys
from pathlib import Path

import pytest

from flashcore.model.codec import from_json
from flashcore.wire.envelope import RemoteFailure
from flashcore.worker.failure import MAX_TEXT, failure_of, text_of


class Broken(Exception):
    """Somebody's exception that cannot be shown."""

    def __str__(self) -> str:
        raise RuntimeError("not even this works")


def raised(error: BaseException) -> BaseException:
    """The exception with a traceback."""
    try:
        raise error
    except BaseException as caught:  # noqa: BLE001 - any exception is to be told of
        return caught


def test_the_text_of_a_failure_can_be_read_back() -> None:
    """Who receives it finds every field."""
    failure = failure_of(raised(ValueError("bad")), "replica/life")

    assert from_json(RemoteFailure, json.loads(text_of(failure))) == failure
    assert (failure.error_type, failure.error_message, failure.worker_id) == ("ValueError", "bad", "replica/life")
    assert failure.hostname


def test_a_type_is_named_with_its_module() -> None:
    """Two libraries' `Error` are told apart; Python's own are named as everybody names them."""
    assert failure_of(json.JSONDecodeError("x", "y", 0)).error_type == "json.decoder.JSONDecodeError"
    assert failure_of(KeyError()).error_type == "KeyError"


def test_an_exception_that_cannot_be_shown_is_told_all_the_same() -> None:
    """The user's `__str__` raises; the job still ends with an error."""
    failure = failure_of(raised(Broken()))

    assert failure.error_message == "(its __str__ raised RuntimeError)"
    assert "Broken" in failure.error_traceback


def test_a_long_message_loses_its_middle() -> None:
    """An error with a tensor in it does not fill the store."""
    failure = failure_of(raised(ValueError("a" * MAX_TEXT + "b" * MAX_TEXT)))

    assert len(failure.error_message) < MAX_TEXT + 100
    assert failure.error_message.startswith("aaa")
    assert failure.error_message.endswith("bbb")
    assert "characters left out" in failure.error_message


def test_causes_and_notes_are_part_of_the_traceback() -> None:
    """What a person would have seen at home is what they see here."""
    try:
        try:
            raise KeyError("inner")
        except KeyError as inner:
            inner.add_note("while loading")
            raise ValueError("outer") from inner
    except ValueError as error:
        shown = failure_of(error).error_traceback

    assert "KeyError: 'inner'\nwhile loading" in shown
    assert "direct cause" in shown


def test_a_module_that_cannot_be_imported_is_told_without_the_machinery_that_imports(tmp_path: Path) -> None:
    """From the user's own first line on."""
    (tmp_path / "broken_user_module.py").write_text("import nowhere_to_be_found\n")
    sys.path.insert(0, str(tmp_path))
    try:
        with pytest.raises(ModuleNotFoundError) as caught:
            importlib.import_module("broken_user_module")
    finally:
        sys.path.remove(str(tmp_path))
    own = caught.value.__traceback__
    assert own is not None

    told = failure_of(caught.value.with_traceback(own.tb_next)).error_traceback

    assert "broken_user_module.py" in told
    assert "importlib" not in told
