"""New projects and plugins from the templates, which are cookiecutter's and work with plain `cookiecutter` too."""

from __future__ import annotations

import contextlib
import json
import logging
import re
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path

from flashcore.model.errors import FlashcoreError, NotFound, Refused, UsageError

ANSWERS_FILE = ".flashcore-template.json"
"""What was answered, beside what was generated: by it a newer template can be compared with an older result."""

_NO_CONTENT = frozenset({".git", ".hg", ".jj"})
"""What a folder may hold that is empty otherwise."""


def template_folder() -> Path:
    """Where the templates are: in the installed package, or at the top of a checkout. Raises NotFound."""
    package = Path(__file__).resolve().parent.parent
    for folder in (package / "_templates", package.parent.parent / "cookiecutter"):
        if (folder / "project" / "cookiecutter.json").is_file():
            return folder
    raise NotFound(
        f"the templates are missing from this installation ({package})",
        next_step="install it again: pip install --force-reinstall flashcore-framework",
    )


def template_names() -> tuple[str, ...]:
    """The templates that there are, sorted."""
    return tuple(sorted(path.parent.name for path in template_folder().glob("*/cookiecutter.json")))


def template(name: str) -> Path:
    """The folder of one template. Raises UsageError for a name that there is not."""
    known = template_names()
    if name not in known:
        raise UsageError(f"there is no template {name!r}", next_step=f"choose one of: {', '.join(known)}")
    return template_folder() / name


def generate(name: str, into: Path, answers: Mapping[str, str], *, ask: bool) -> Path:
    """Make a folder below `into` from the template `name`; returns its path.

    `answers` are taken as given; for the rest, `ask` tells whether somebody is asked or the defaults count. Raises
    UsageError for answers that the template refuses, and Refused when the folder is there already: nothing is then
    written, and nothing is ever written outside of the folder.
    """
    source = template(name)
    _require_known(answers, source)
    # It is slow to import, and nothing else needs it.
    from cookiecutter.exceptions import CookiecutterException, FailedHookException, OutputDirExistsException
    from cookiecutter.main import cookiecutter

    with _away_from_home() as configuration, _quiet():
        # An installer compiles what it installs, the templates' Python as well: of that, nothing is handed on.
        clean = shutil.copytree(source, configuration.parent / name, ignore=shutil.ignore_patterns("__pycache__"))
        try:
            made = cookiecutter(
                str(clean),
                no_input=not ask,
                extra_context=dict(answers),
                output_dir=str(into),
                config_file=str(configuration),
            )
        except OutputDirExistsException as error:
            raise Refused(_sentence(error), next_step="choose another name, or remove the folder") from error
        except FailedHookException as error:
            # The template's own check has written the reason to standard error.
            refusal = f"the template {name!r} refuses these answers, for the reason above"
            raise UsageError(refusal, next_step="give other answers") from error
        except ValueError as error:
            raise UsageError(
                f"the template {name!r} has no such choice: {_sentence(error)}",
                next_step="take one of these; what a part of another kind has to do is in docs/extension-points.md",
            ) from error
        except CookiecutterException as error:
            raise FlashcoreError(f"the template {name!r} failed: {_sentence(error)}") from error
    return Path(made)


def is_here(name: str) -> bool:
    """Whether that stands for the folder that one is in, and is no name of a new one."""
    return Path(name).resolve() == Path.cwd()


def generate_here(name: str, folder: Path, answers: Mapping[str, str], *, ask: bool) -> Path:
    """Make the template's folder out of an empty one, whose name is the default of the name; returns its path.

    Raises as `generate`, and Refused when something is in the folder: only version control may be.
    """
    target = folder.resolve()
    there = sorted(path.name for path in target.iterdir() if path.name not in _NO_CONTENT)
    if there:
        raise Refused(
            f"{target} is not empty: {', '.join(there[:3])}{' and more' if len(there) > 3 else ''}",
            next_step="go to an empty folder, or name a new one: flashcore init NAME",
        )
    with tempfile.TemporaryDirectory(prefix="flashcore-init-") as place:
        made = generate(name, Path(place), {"name": _label(target.name), **answers}, ask=ask)
        for path in made.iterdir():
            shutil.move(path, target / path.name)
    return target


def _label(folder: str) -> str:
    """A folder's name as an app may be called; the template has the last word."""
    return re.sub(r"[^a-z0-9]+", "-", folder.lower()).strip("-")


def _require_known(answers: Mapping[str, str], source: Path) -> None:
    asked = json.loads((source / "cookiecutter.json").read_text(encoding="utf-8"))
    known = [question for question in asked if not question.startswith("_")]
    for answer in answers:
        if answer not in known:
            raise UsageError(
                f"the template {source.name!r} does not ask for {answer!r}",
                next_step=f"it asks for: {', '.join(known)}",
            )


@contextlib.contextmanager
def _away_from_home() -> Iterator[Path]:
    """Settings by which cookiecutter reads none of the user's, and keeps its own files in a folder that goes away."""
    before = tempfile.tempdir
    with tempfile.TemporaryDirectory(prefix="flashcore-init-") as folder:
        configuration = Path(folder) / "cookiecutter.yaml"
        configuration.write_text(json.dumps({"cookiecutters_dir": folder, "replay_dir": folder}), encoding="utf-8")
        # It runs hooks from temporary files, and leaves them behind.
        tempfile.tempdir = folder
        try:
            yield configuration
        finally:
            tempfile.tempdir = before


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Without the traceback that cookiecutter logs when a template refuses an answer: the template says why."""
    logger = logging.getLogger("cookiecutter")
    level = logger.level
    logger.setLevel(logging.CRITICAL + 1)
    try:
        yield
    finally:
        logger.setLevel(level)


def _sentence(error: Exception) -> str:
    return " ".join(str(error).split()).removeprefix("Error: ")
