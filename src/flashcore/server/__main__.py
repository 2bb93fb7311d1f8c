"""`python -m flashcore.server`."""

from __future__ import annotations

import signal
import sys


def main() -> int:
    """Run it. A SIGINT that comes before it listens to signals ends the process, without a traceback in its log."""
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:  # and is not ignored, as in a script's background
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    from flashcore.server.main import main as run

    return run()


if __name__ == "__main__":
    sys.exit(main())
