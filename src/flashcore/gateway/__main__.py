"""`python -m flashcore.gateway`."""

from __future__ import annotations

import sys

from flashcore.gateway.main import main

if __name__ == "__main__":
    sys.exit(main())
