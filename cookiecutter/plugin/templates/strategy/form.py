    """Replace `step` replicas at a time."""

    step: int = 1

    def __post_init__(self) -> None:
        """Refuse a step that goes nowhere."""
        if self.step < 1:
            raise ValueError(f"step must be at least 1, not {self.step}")
