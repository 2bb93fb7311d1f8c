    """Let a rollout go on when at most the share `most` of at least `requests` requests failed."""

    most: float = 0.01
    requests: int = 100

    def __post_init__(self) -> None:
        """Refuse numbers that mean nothing."""
        if not 0 <= self.most <= 1:
            raise ValueError(f"most must be a share from 0 to 1, not {self.most}")
        if self.requests < 1:
            raise ValueError(f"requests must be at least 1, not {self.requests}")
