    """GET `path` on the replica; status 200 means that it is well."""

    path: str = "/ping"

    def __post_init__(self) -> None:
        """Refuse what is no path."""
        if not self.path.startswith("/"):
            raise ValueError(f"path must start with a slash, not be {self.path!r}")
