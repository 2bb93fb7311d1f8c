"""What the package offers to flashcore; nothing else of it is imported before a policy is used."""

from flashcore.plugin import Part, hookimpl


@hookimpl
def flashcore_routing_policies() -> dict[str, Part]:
    """The policies by the name that a declaration uses."""
    return {
        "random": _part("uniform:RandomPolicy", "Random", "Any replica, by weight"),
        "least_loaded": _part("least_loaded:LeastLoadedPolicy", "LeastLoaded", "The smallest expected wait"),
        "first": _part("first:FirstPolicy", "First", "Fill one replica before the next"),
        "prefix_hash": _part("prefix_hash:PrefixHashPolicy", "PrefixHash", "Bodies that begin alike stay together"),
        "cache_aware": _part("cache_aware:CacheAwarePolicy", "CacheAware", "Prompts go where their beginning is known"),
        "bucket": _part("bucket:BucketPolicy", "Bucket", "Short requests stay clear of long ones"),
    }


def _part(ref: str, form: str, summary: str) -> Part:
    path = f"flashcore_routing:{form}"
    # Where it is defined counts as well: that is what an object knows of its class.
    declares = (path, f"flashcore_routing.forms:{form}")
    return Part(f"flashcore_routing.{ref}", summary, options=path, declares=declares)
