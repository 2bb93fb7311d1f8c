"""What an endpoint's policy has to see of a request's body before it can choose."""

from __future__ import annotations

import sys
from dataclasses import dataclass

from flashcore.gateway.http.head import RequestHead
from flashcore.hookspecs.routing import BodyNeed, RoutingPolicy
from flashcore.model.errors import PluginError

_UP_TO_ITS_END = sys.maxsize


@dataclass(frozen=True, slots=True)
class BodyWish:
    """A policy's word on it, as of a table."""

    need: BodyNeed
    limit: int
    """Bytes that the policy is shown; 0 but for BodyNeed.START."""

    def bytes_of(self, head: RequestHead) -> int:
        """How much to wait for of this request's body; 0 when the head says all that is needed."""
        if not head.has_body:
            return 0
        if self.need is BodyNeed.LENGTH:
            return 0 if head.content_length is not None else _UP_TO_ITS_END
        return self.limit


NO_WISH = BodyWish(BodyNeed.NONE, 0)


def body_wish(policy: RoutingPolicy) -> BodyWish:
    """What the policy asks for. Raises PluginError where that makes no sense."""
    try:
        need, limit = policy.body_need, policy.body_limit
    except Exception as error:  # a policy is anybody's code: any of its failures is told as one
        raise _senseless(policy, f"{type(error).__name__}: {error}") from error
    if not isinstance(need, BodyNeed):
        raise _senseless(policy, f"its body_need is {need!r}, which is no BodyNeed")
    if need is not BodyNeed.START:
        return BodyWish(need, 0)
    if not isinstance(limit, int) or limit <= 0:
        raise _senseless(policy, f"its body_limit is {limit!r}, where BodyNeed.START takes a number of bytes")
    return BodyWish(need, limit)


def _senseless(policy: RoutingPolicy, reason: str) -> PluginError:
    return PluginError(
        f"the routing policy {type(policy).__name__} does not say what it needs of a body: {reason}",
        next_step="choose another routing policy for this endpoint, or mend this one",
    )
