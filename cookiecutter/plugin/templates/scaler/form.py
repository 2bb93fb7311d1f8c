    """One replica for every `per_replica` calls that wait or are worked on."""

    per_replica: int = 10

    def __post_init__(self) -> None:
        """Refuse a number that means nothing."""
        if self.per_replica < 1:
            raise ValueError(f"per_replica must be at least 1, not {self.per_replica}")
