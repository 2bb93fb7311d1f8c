"""What `make` says to who asks for what it cannot do."""

from __future__ import annotations

import subprocess
from pathlib import Path


def test_an_environment_with_a_space_in_its_name_is_refused(repository: Path) -> None:
    """Make takes it for two targets; half of it was made before anything failed."""
    done = subprocess.run(
        ["make", "help", "VENV=.venv 3.13"], cwd=repository, capture_output=True, text=True, check=False
    )

    assert done.returncode != 0
    assert 'VENV is a name without spaces, as in VENV=.venv-3.13; it is ".venv 3.13"' in done.stderr
