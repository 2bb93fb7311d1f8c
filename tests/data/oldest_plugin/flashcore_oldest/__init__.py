"""What user code writes in a declaration."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Halves:
    """Replace half of the replicas, then the other half."""

    pause: float = 0.0
    label: str = "halves"
