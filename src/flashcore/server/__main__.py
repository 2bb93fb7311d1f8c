"""`python -m flashcore.server`."""

from __future__ import annotations

import sys

from flashcore.server.main import main

sys.exit(main())
