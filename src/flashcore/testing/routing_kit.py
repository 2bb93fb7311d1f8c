"""What every routing policy has to do, as functions that need no test framework, and as a class for pytest.

A policy's whole test file:

    from flashcore.testing.routing_kit import RoutingPolicyKit
    from flashcore_acme import Nearest, NearestPolicy

    class TestNearest(RoutingPolicyKit):
        def policy(self): return NearestPolicy(Nearest(region="eu"))

The functions take a callable that makes a fresh policy, and raise Nonconformance. A policy that remembers is to be
made with small bounds, so that its memory can be seen to end.
"""

from __future__ import annotations

import dataclasses
import json
from abc import abstractmethod
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from flashcore.hookspecs.routing import BodyNeed, Candidate, RoutedRequest, RoutingPolicy
from flashcore.model.names import EndpointName, InstanceId, ReplicaId, RevisionId
from flashcore.testing.conformance import require
from flashcore.testing.kit import Check, Kit, checks_of, skip
from flashcore.testing.measure import Instructions, reachable

Make = Callable[[], RoutingPolicy]
MakeRequest = Callable[[int], RoutedRequest]

BASE_COST = 4_000
COST_PER_CANDIDATE = 200
"""Python instructions that one choice may take: enough to look at each candidate once or twice, not at each pair."""


def make_candidates(count: int, first: int = 0) -> tuple[Candidate, ...]:
    """Idle replicas with room for four calls each, all alike."""
    return tuple(_make_candidate(number) for number in range(first, first + count))


def make_request(number: int) -> RoutedRequest:
    """A request of the caller with that number; all that tells callers apart differs, a second after the last one."""
    prompt = f"{number}: " * 40
    body = json.dumps({"prompt": prompt, "input": {"prompt": prompt}}).encode()
    headers = {
        "content-type": "application/json",
        "x-flashcore-key": f"key-{number}",
        "x-flashcore-session": f"session-{number}",
    }
    return RoutedRequest("POST", f"/items/{number}", headers, len(body), body, now=float(number))


def odd_requests() -> Iterator[RoutedRequest]:
    """Requests as real callers send them, too: without headers, without a body, cut off, not text at all."""
    yield RoutedRequest("GET", "/", {})
    yield RoutedRequest("GET", "", {}, body_length=0)
    yield RoutedRequest("POST", "/x", {"x-flashcore-key": ""}, 1, b"{")
    for body in (
        b'{"prompt": "cut of',
        b'{"prompt": {"a": [1, {',
        b"\xff\xfe\x00",
        b'{"prompt": null}',
        b"[[[[",
        b'""',
    ):
        yield RoutedRequest("POST", "/x", {"content-type": "application/json"}, 10**12, body, now=1e9)
    yield RoutedRequest("POST", "/" + "x" * 5_000, {"x-flashcore-session": "é" * 500}, None, b'"' * 4_000)


def check_picks_a_candidate(make: Make, requests: MakeRequest = make_request) -> None:
    """A choice is one of the candidates themselves, whatever their loads."""
    policy, candidates = make(), make_candidates(5)
    policy.changed(candidates)
    for number in range(200):
        _load(candidates, number)
        _choose(policy, requests(number), candidates)


def check_single_candidate(make: Make, requests: MakeRequest = make_request) -> None:
    """One candidate is chosen, idle or overfull."""
    policy, candidates = make(), make_candidates(1)
    policy.changed(candidates)
    for number, in_flight in enumerate((0, 4, 1_000)):
        candidates[0].in_flight = in_flight
        _choose(policy, requests(number), candidates)


def check_some_candidates_left_out(make: Make, requests: MakeRequest = make_request) -> None:
    """A retry leaves out the replicas that were tried, down to the last one, without the set having changed."""
    policy, candidates = make(), make_candidates(6)
    policy.changed(candidates)
    for number in range(40):
        left = list(candidates)
        while left:
            left.remove(_choose(policy, requests(number), tuple(left)))


def check_set_changes(make: Make, requests: MakeRequest = make_request) -> None:
    """Replicas come and go, all at once too, and come back as another instance; the choice keeps to the set."""
    policy = make()
    reborn = dataclasses.replace(_make_candidate(0), instance=InstanceId("reborn"))
    sets = (make_candidates(4), make_candidates(2), make_candidates(7), make_candidates(3, first=50), (reborn,), ())
    for candidates in sets * 2:
        policy.changed(candidates)
        for number in range(30 if candidates else 0):
            _choose(policy, requests(number), candidates)


def check_odd_requests(make: Make, requests: MakeRequest = make_request) -> None:
    """No request makes a policy raise."""
    policy, candidates = make(), make_candidates(3)
    policy.changed(candidates)
    for request in (requests(0), *odd_requests()):
        for unseen in (request, dataclasses.replace(request, body_start=b"", body_length=None)):
            _choose(policy, unseen, candidates)


def check_odd_candidates(make: Make, requests: MakeRequest = make_request) -> None:
    """Loads, reports and weights beyond what is usual make no policy raise."""
    policy, candidates = make(), make_candidates(4)
    candidates[0].reported_load, candidates[1].reported_load = float("nan"), float("inf")
    candidates[1].weight, candidates[2].weight = 1e-6, 1e6
    candidates[2].in_flight, candidates[3].max_concurrency = 10**9, 10**6
    policy.changed(candidates)
    for number in range(40):
        _choose(policy, requests(number), candidates)


def check_writes_nothing(make: Make, requests: MakeRequest = make_request) -> None:
    """Candidates are the gateway's to write to, in-flight counts above all."""
    policy, candidates = make(), make_candidates(4)
    _load(candidates, 3)
    before = [dataclasses.asdict(candidate) for candidate in candidates]
    policy.changed(candidates)
    for number in range(20):
        _choose(policy, requests(number), candidates)
    after = [dataclasses.asdict(candidate) for candidate in candidates]
    require(after == before, "a policy writes nothing to candidates", after)


def check_states_its_need(make: Make, requests: MakeRequest = make_request) -> None:
    """What a policy reads of the body is what it says that it needs."""
    policy, candidates = make(), make_candidates(3)
    need, limit = policy.body_need, policy.body_limit
    require(isinstance(need, BodyNeed), "body_need is a BodyNeed", need)
    rule = "body_limit is a number of bytes for BodyNeed.START, otherwise 0"
    require(type(limit) is int and (limit > 0) is (need is BodyNeed.START), rule, limit)
    policy.changed(candidates)
    watched = [_Watched(**_fields(requests(number))) for number in range(20)]
    for request in watched:
        _choose(policy, request, candidates)
    read = {name for request in watched for name in request.read}
    require("body_start" not in read or need is BodyNeed.START, "only BodyNeed.START lets a policy read body_start")
    require("body_length" not in read or need is not BodyNeed.NONE, "BodyNeed.NONE lets no policy read body_length")


def check_cost(make: Make, requests: MakeRequest = make_request) -> None:
    """A choice looks at each candidate once or twice. Counted in Python instructions, so no busy machine spoils it."""
    policy, many = make(), make_candidates(400)
    for count in (1, 20, 400):
        policy.changed(many[:count])
        _require_cheap(policy, requests, many[:count])
    for number in range(5_000):
        policy.choose(requests(number), many[:20])
    _require_cheap(policy, requests, many[:20])


def check_memory_ends(make: Make, requests: MakeRequest = make_request, callers: int = 20_000) -> None:
    """A policy does not remember every caller, nor every replica that ever was."""
    policy, together = make(), 100
    for first in range(0, callers, together):
        candidates = make_candidates(3, first)
        policy.changed(candidates)
        for number in range(first, first + together):
            policy.choose(requests(number), candidates)
    remembered = len(reachable(policy))
    require(remembered < callers, f"after {callers} callers, fewer objects than that are remembered", remembered)


def check_spread(make: Make, requests: MakeRequest = make_request, replicas: int = 8, choices: int = 8_000) -> None:
    """Idle replicas that are alike get equal shares of different callers' requests.

    By the chi-square of the counts, which an even policy exceeds once in ten million runs.
    """
    policy, candidates = make(), make_candidates(replicas)
    policy.changed(candidates)
    counts = Counter(policy.choose(requests(number), candidates).replica for number in range(choices))
    even = choices / replicas
    chi_square = sum((counts[candidate.replica] - even) ** 2 / even for candidate in candidates)
    # Wilson and Hilferty's approximation of the quantile at 5.2 standard deviations.
    freedom = replicas - 1
    bound = freedom * (1 - 2 / (9 * freedom) + 5.2 * (2 / (9 * freedom)) ** 0.5) ** 3
    require(chi_square <= bound, f"the shares are equal: chi-square at most {bound:.1f}", (chi_square, dict(counts)))


def check_affinity(make: Make, requests: MakeRequest = make_request) -> None:
    """A caller comes back to the same replica, in whatever order the candidates are, while it is there and has room."""
    policy, candidates = make(), make_candidates(6)
    policy.changed(candidates)
    first = {number: _choose(policy, requests(number), candidates).replica for number in range(60)}
    turned = candidates[::-1]
    policy.changed(turned)
    for number, replica in first.items():
        again = _choose(policy, requests(number), turned).replica
        require(again == replica, "a caller comes back to the same replica", (number, replica, again))


class RoutingPolicyKit(Kit):
    """Subclass it, call the subclass Test..., and say how to make the policy."""

    checks = checks_of(globals())
    spreads = True
    """Whether idle replicas get equal shares of different callers."""
    keeps = False
    """Whether a caller comes back to the same replica."""

    @abstractmethod
    def policy(self) -> RoutingPolicy:
        """A fresh policy."""

    def request(self, number: int) -> RoutedRequest:
        """A request of the caller with that number, as this policy tells callers apart."""
        return make_request(number)

    def examine(self, check: Check) -> None:
        """Run one check, unless it is about what the policy does not claim."""
        if check is check_spread and not self.spreads:
            skip("spreads is False: this policy does not spread callers over idle replicas")
        if check is check_affinity and not self.keeps:
            skip("keeps is False: this policy does not keep callers on a replica")
        check(self.policy, self.request)


def _make_candidate(number: int) -> Candidate:
    endpoint, revision = EndpointName("tested"), RevisionId("0" * 64)
    replica, instance = ReplicaId(f"{endpoint}-000000-{number:08x}"), InstanceId(f"{number:016x}")
    return Candidate(replica, instance, revision, max_concurrency=4, warm_since=float(number))


def _load(candidates: Sequence[Candidate], seed: int) -> None:
    for position, candidate in enumerate(candidates):
        candidate.in_flight = (seed * 7 + position * 5) % 9


def _choose(policy: RoutingPolicy, request: RoutedRequest, candidates: Sequence[Candidate]) -> Candidate:
    chosen = policy.choose(request, candidates)
    # The very object: the gateway counts what is in flight on it.
    require(any(chosen is candidate for candidate in candidates), "a choice is one of the candidates", chosen)
    return chosen


def _fields(request: RoutedRequest) -> dict[str, Any]:
    return {field.name: getattr(request, field.name) for field in dataclasses.fields(RoutedRequest)}


class _Watched(RoutedRequest):
    """A request that notes which of its fields are read."""

    @property
    def read(self) -> set[str]:
        notes: set[str] = object.__getattribute__(self, "__dict__")
        return set(notes)

    def __getattribute__(self, name: str) -> Any:
        if not name.startswith("__") and name != "read":
            object.__getattribute__(self, "__dict__")[name] = True
        return object.__getattribute__(self, name)


def _require_cheap(policy: RoutingPolicy, requests: MakeRequest, candidates: Sequence[Candidate]) -> None:
    asked = [requests(number) for number in range(10_000, 10_010)]
    with Instructions() as instructions:
        for request in asked:
            policy.choose(request, candidates)
    most = BASE_COST + COST_PER_CANDIDATE * len(candidates)
    cost = instructions.count // len(asked)
    require(cost <= most, f"a choice among {len(candidates)} takes at most {most} instructions", cost)
