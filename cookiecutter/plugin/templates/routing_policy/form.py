    """Prefer replicas whose label `label` is `value`."""

    label: str = "zone"
    value: str = "a"
