"""A project's own `flashcore_plugins.py`: a plugin without a package.

It is looked for in the project's root alone, never in a parent directory of it, and it is not loaded when it belongs
to somebody else: whoever can write to a directory above yours must not run code as you.
"""

from __future__ import annotations

import os
from pathlib import Path

from flashcore.registry.reports import Origin
from flashcore.registry.scan import Candidate

LOCAL_FILE = "flashcore_plugins.py"
LOCAL_MODULE = "flashcore_plugins"
"""What its references call it, as in `flashcore_plugins:MyStrategy`."""


def local_candidate(project: Path | None) -> Candidate | None:
    """The project's own plugin, None if it has none."""
    file = project / LOCAL_FILE if project is not None else None
    if file is None or not file.is_file():
        return None
    path = str(file.resolve())
    return Candidate(Origin(f"local:{LOCAL_FILE}"), LOCAL_MODULE, source=path, file=path)


def belongs_to_another(file: Path) -> bool:
    """Whether somebody other than the present user or root could have written the file."""
    found = file.stat()
    return found.st_uid not in (0, os.geteuid()) or bool(found.st_mode & 0o002)
