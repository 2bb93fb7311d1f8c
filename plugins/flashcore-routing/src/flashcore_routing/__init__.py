"""Routing policies for flashcore, beyond those that it brings along.

What user code writes in a declaration is here: `LoadBalancedEndpoint("api", routing=PrefixHash(field="prompt"))`.
The policies themselves are in modules of their own, which only a gateway imports.
"""

from flashcore_routing.forms import Bucket, CacheAware, First, LeastLoaded, PrefixHash, Random

__all__ = ["Bucket", "CacheAware", "First", "LeastLoaded", "PrefixHash", "Random"]
