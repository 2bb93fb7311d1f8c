"""The record by which a plugin offers a part: strings and plain values only, so that an index can hold it."""

from __future__ import annotations

import re
from dataclasses import dataclass

PART_NAME = re.compile(r"[a-z][a-z0-9_]{0,39}")
"""Names that a part may have: what a user writes in configuration, stays stable for ever."""

_REF = re.compile(r"[A-Za-z_][\w.]*:[A-Za-z_][\w.]*")


class RecordError(ValueError):
    """A record that could not be used; the message names the field and what it should hold."""


@dataclass(frozen=True, slots=True)
class Part:
    """One thing that a plugin offers under a name: a strategy, a probe, a store, a command.

    The attribute behind `ref` is imported when the part is first used, never to list or to configure it.
    It is a callable that makes the part. What it is called with depends on the extension point and is written
    in that point's module; where nothing is said, it is called with the validated options object if `options`
    is set, and without arguments otherwise.
    """

    ref: str
    """`package.module:Attribute` of the callable that makes the part."""

    summary: str
    """One line for `flashcore plugins list`; not empty."""

    api: int = 1
    """Number of the extension point's contract that the part was written against."""

    options: str | None = None
    """`package.module:Attribute` of a frozen dataclass whose fields are the part's options, or None for no options."""

    declares: tuple[str, ...] = ()
    """Import paths (`package:Name`) by which user code may write this part in a declaration, e.g. `Canary(5)`.

    The scanner turns such a call into the part's name and keeps its arguments, without importing the package.
    """

    capabilities: tuple[str, ...] = ()
    """Names of optional abilities; each extension point lists the ones that it knows."""

    replaces: str | None = None
    """Distribution whose part of the same name gives way to this one; without it equal names are a conflict."""

    def __post_init__(self) -> None:
        """Refuse records that could not be resolved later, while the plugin's name is at hand."""
        for field, value in (("ref", self.ref), ("options", self.options)):
            if value is not None and not _is_ref(value):
                raise RecordError(f"{field} must look like 'package.module:Attribute', not {value!r}")
        if not isinstance(self.summary, str) or not self.summary.strip():
            raise RecordError("summary must be one line of text")
        if not isinstance(self.api, int) or isinstance(self.api, bool) or self.api < 1:
            raise RecordError(f"api must be a contract number from 1, not {self.api!r}")
        for field, names in (("declares", self.declares), ("capabilities", self.capabilities)):
            if not isinstance(names, tuple) or not all(isinstance(name, str) for name in names):
                raise RecordError(f"{field} must be a tuple of strings, not {names!r}")


def _is_ref(value: object) -> bool:
    return isinstance(value, str) and _REF.fullmatch(value) is not None
