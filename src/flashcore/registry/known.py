"""Parts that are known to exist in packages of ours which may not be installed."""

from __future__ import annotations

from collections.abc import Mapping

_ROUTING = ("bucket", "cache_aware", "first", "least_loaded", "prefix_hash", "random")

_PACKAGES: Mapping[tuple[str, str], str] = {
    ("strategies", "canary"): "flashcore-canary",
    ("providers", "ray"): "flashcore-ray",
    ("providers", "runpod"): "flashcore-runpod",
    ("state_backends", "postgres"): "flashcore-postgres",
    ("state_backends", "redis"): "flashcore-redis",
    **{("routing_policies", name): "flashcore-routing" for name in _ROUTING},
}


def package_of(point: str, name: str) -> str | None:
    """The distribution that has the part `name` of that point, None if none of ours has."""
    return _PACKAGES.get((point, name))


def package_declaring(path: str) -> str | None:
    """The distribution of ours whose import package `path` (`flashcore_canary:Canary`) begins with."""
    package = path.partition(":")[0].partition(".")[0].replace("_", "-")
    return package if package in _PACKAGES.values() else None
