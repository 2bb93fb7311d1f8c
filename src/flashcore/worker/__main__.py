"""`python -m flashcore.worker --handler PATH`: be the replica that the environment describes (see `settings`)."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path

from flashcore.model.errors import ConfigurationError
from flashcore.worker.runtime import Runtime
from flashcore.worker.settings import read_settings

USAGE = "usage: python -m flashcore.worker --handler PATH\n"


def main(arguments: Sequence[str]) -> int:
    """Run the worker; returns the exit status: 0 drained, 1 it could not start, 2 it was started wrongly."""
    match arguments:
        case ["--handler", path]:
            handler = Path(path)
        case _:
            sys.stderr.write(USAGE)
            return 2
    try:
        return Runtime(read_settings(os.environ)).run(handler)
    except (ConfigurationError, OSError) as error:
        sys.stderr.write(f"flashcore: the worker cannot be started: {error}\n")
        return 2


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
