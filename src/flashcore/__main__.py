"""`python -m flashcore`, and the installed command."""

from __future__ import annotations

import signal


def main() -> None:
    """Run the command line. Ctrl-C that comes before it is there ends the process, without a traceback of imports."""
    before = signal.getsignal(signal.SIGINT)
    if before is signal.default_int_handler:  # and is not ignored, as in the background of a script
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    from flashcore.cli.main import main as run

    signal.signal(signal.SIGINT, before)
    run()


if __name__ == "__main__":
    main()
