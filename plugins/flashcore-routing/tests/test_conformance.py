"""Every policy of the package passes the kit for routing policies."""

from flashcore.hookspecs.routing import RoutingPolicy
from flashcore.testing.routing_kit import RoutingPolicyKit
from flashcore_routing import Bucket, CacheAware, First, LeastLoaded, PrefixHash, Random
from flashcore_routing.bucket import BucketPolicy
from flashcore_routing.cache_aware import CacheAwarePolicy
from flashcore_routing.first import FirstPolicy
from flashcore_routing.least_loaded import LeastLoadedPolicy
from flashcore_routing.prefix_hash import PrefixHashPolicy
from flashcore_routing.uniform import RandomPolicy


class TestRandom(RoutingPolicyKit):
    """The policy `random`."""

    def policy(self) -> RoutingPolicy:
        """As declared without options."""
        return RandomPolicy(Random())


class TestLeastLoaded(RoutingPolicyKit):
    """The policy `least_loaded`."""

    def policy(self) -> RoutingPolicy:
        """As declared without options."""
        return LeastLoadedPolicy(LeastLoaded())


class TestFirst(RoutingPolicyKit):
    """The policy `first`, which is there not to spread."""

    spreads = False
    keeps = True

    def policy(self) -> RoutingPolicy:
        """As declared without options."""
        return FirstPolicy(First())


class TestPrefixHash(RoutingPolicyKit):
    """The policy `prefix_hash`."""

    keeps = True

    def policy(self) -> RoutingPolicy:
        """As declared without options."""
        return PrefixHashPolicy(PrefixHash())


class TestCacheAware(RoutingPolicyKit):
    """The policy `cache_aware`, with a memory whose end can be seen."""

    keeps = True

    def policy(self) -> RoutingPolicy:
        """Small bounds."""
        return CacheAwarePolicy(CacheAware(block=40, blocks=1_000))


class TestBucket(RoutingPolicyKit):
    """The policy `bucket`. Callers with bodies of all lengths; alike ones need not get equal shares."""

    spreads = False

    def policy(self) -> RoutingPolicy:
        """As declared without options."""
        return BucketPolicy(Bucket())
