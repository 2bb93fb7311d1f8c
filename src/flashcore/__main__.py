"""`python -m flashcore`."""

from __future__ import annotations

from flashcore.cli.main import main

if __name__ == "__main__":
    main()
