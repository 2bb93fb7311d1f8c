"""The two ways in which a control plane ends."""

from __future__ import annotations

from enum import Enum


class Shutdown(Enum):
    """What is left when the process has ended."""

    KEEP_SERVING = "keep_serving"
    """Gateway and replicas go on; the next control plane finds them again."""
    EVERYTHING = "everything"
    """Nothing runs any more; what is deployed is remembered."""
