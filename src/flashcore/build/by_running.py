"""Declarations whose settings only running the project tells. That code of it is run, somebody has to ask for."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from flashcore.build.problems import Place
from flashcore.build.values import CannotRead
from flashcore.model.codec import CodecError, from_json
from flashcore.model.declaration import Declaration

TIMEOUT = 120.0
"""Seconds that importing one file may take."""

_ADVICE = "correct it, or write settings that need not be computed"


@dataclass(slots=True)
class Running:
    """Runs files of the project at `root`, each once, in processes of their own."""

    root: Path
    _known: dict[str, Mapping[int, Declaration]] = field(default_factory=dict)

    def declaration(self, place: Place) -> Declaration:
        """The endpoint that is declared at this place. Raises CannotRead."""
        if place.file not in self._known:
            self._known[place.file] = self._run(place.file)
        found = self._known[place.file].get(place.line)
        if found is None:
            raise CannotRead(place, "the file was run, and nothing was declared here", "declare it at module level")
        return found

    def _run(self, file: str) -> Mapping[int, Declaration]:
        command = [sys.executable, "-P", "-m", "flashcore.build.declaring", str(self.root), file]
        try:
            done = subprocess.run(
                command, cwd=self.root, stdin=subprocess.DEVNULL, capture_output=True, timeout=TIMEOUT, check=False
            )
        except subprocess.TimeoutExpired:
            raise CannotRead(Place(file), f"its import took more than {TIMEOUT:g} s", _ADVICE) from None
        try:
            answer = json.loads(done.stdout)
            if "failed" in answer:
                raise CannotRead(Place(file), f"it was run, and failed: {answer['failed']}", _ADVICE)
            return {int(line): from_json(Declaration, one) for line, one in answer.items()}
        except (ValueError, CodecError) as error:
            reason = f"it was run, and ended with exit status {done.returncode} before it said what it declares"
            raise CannotRead(Place(file), reason, _ADVICE) from error
