"""A plan of a deploy, for people."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from flashcore.cli import output


def planned(answer: Mapping[str, Any]) -> Iterator[str]:
    """The lines of a plan: each endpoint with the steps of its rollout."""
    for one in answer["endpoints"]:
        yield from _endpoint(one)
    for name in answer["undeclared"]:
        yield f"{name}: still deployed, no longer in the project (flashcore undeploy {name})"


def _endpoint(one: Mapping[str, Any]) -> Iterator[str]:
    if not one["steps"]:
        yield f"{one['endpoint']}: {one['change']}"
        return
    strategy = "" if one["change"] == "new" else f", strategy {one['strategy']}"
    yield (
        f"{one['endpoint']}: {one['change']} to {one['target'][:12]}{strategy}; "
        f"at most {one['peak']} replicas, at least {one['floor']} ready"
    )
    yield f"  {'OLD':>4}  {'TARGET':>6}  TRAFFIC TO THE TARGET"
    for step in one["steps"]:
        share = "by capacity" if step["percent"] is None else f"{step['percent']} %"
        notes = [f"after {output.seconds(step['at'])}"] if step["at"] else []
        told = "; ".join([*notes, *step["notes"]])
        yield f"  {step['old']:>4}  {step['target']:>6}  {share:11}  {told}".rstrip()
    if one["problem"]:
        yield f"  it would not come to its end: {one['problem']}"
