"""Reasons as a person reads them."""

import textwrap

import pytest

from flashcore.cli.reasons import brief, whole

HOME = f"/srv/shop/.flashcore/unpacked/{'0a' * 32}"
FAILED = f'''replica web-1 failed: Traceback (most recent call last):
  File "<frozen importlib._bootstrap>", line 241, in _call_with_frames_removed
  File "{HOME}/handler_web.py", line 11, in <module>
    REGISTRY = load_functions(ROOT, ENTRIES)
               ^^^^^^^^^^^^^^
  File "{HOME}/flashcore/worker/load.py", line 46, in load_module
    return importlib.import_module(dotted)
  File "/usr/lib/python3.11/importlib/__init__.py", line 126, in import_module
    return _bootstrap._gcd_import(name[level:], package, level)
  File "{HOME}/app.py", line 18, in <module>
    raise ValueError("broken")
ValueError: broken

  | Traceback (most recent call last):
  |   File "{HOME}/app.py", line 18, in <module>
  | ValueError: broken
'''


@pytest.mark.parametrize(
    ("reason", "line"),
    [
        (FAILED, "replica web-1 failed: ValueError: broken (app.py:18)"),
        ("", ""),
        ("replaced by abc", "replaced by abc"),
        ("it ended with 3\n\n  | Killed", "it ended with 3"),
        ("Traceback (most recent call last):", "Traceback (most recent call last):"),
    ],
)
def test_a_reason_has_room_on_a_line(reason: str, line: str) -> None:
    """Of a traceback it is what was raised, and where in the user's code."""
    assert brief(reason) == line


def test_a_traceback_is_shown_once_and_without_what_is_not_the_users() -> None:
    """The frames of flashcore and of the import system say nothing about what to mend."""
    assert whole(FAILED) == textwrap.dedent(
        """\
        replica web-1 failed: Traceback (most recent call last):
          File "app.py", line 18, in <module>
            raise ValueError("broken")
        ValueError: broken"""
    )


@pytest.mark.parametrize("home", ["/srv/my shop", "/srv/the shop's", "/srv/shop"])
def test_the_folder_of_the_code_is_no_part_of_a_place(home: str) -> None:
    """Also where there are spaces in its name."""
    code = f"{home}/.flashcore/unpacked/{'0a' * 32}"
    failed = FAILED.replace(HOME, code)

    assert brief(failed) == brief(FAILED)
    assert whole(failed) == whole(FAILED)


def test_a_reason_without_a_traceback_keeps_the_log_below_it() -> None:
    """There the log is all that is known."""
    assert whole("it ended with 3\n\n  | Killed\n") == "it ended with 3\n\n  | Killed"
