"""What a pass does, for any manifest, any memory and any environment."""

from __future__ import annotations

from collections.abc import Mapping

from hypothesis import given
from hypothesis import strategies as st

from flashcore.control.manifests.plan import Action, Present, plan
from flashcore.control.manifests.record import Failure, ManagedEndpoint
from flashcore.model.names import Digest, EndpointName

NAMES = [EndpointName(name) for name in "abcd"]
DIGESTS = [Digest(one) for one in ("1", "2")]
NOW = 100.0

manifests = st.dictionaries(st.sampled_from(NAMES), st.sampled_from(DIGESTS))
failures = st.builds(
    Failure,
    wanted=st.sampled_from([*DIGESTS, None]),
    code=st.just("refused"),
    message=st.just("no"),
    at=st.just(0.0),
    attempts=st.integers(1, 9),
    retry_at=st.sampled_from([None, NOW - 1, NOW + 1]),
)


def memories(names: list[EndpointName]) -> st.SearchStrategy[dict[EndpointName, ManagedEndpoint]]:
    """Any records of some of the names."""
    kept = {
        name: st.builds(
            ManagedEndpoint,
            endpoint=st.just(name),
            applied=st.sampled_from([*DIGESTS, None]),
            failure=st.none() | failures,
            leaving=st.booleans(),
        )
        for name in names
    }
    return st.fixed_dictionaries({}, optional=kept)


@st.composite
def environments(draw: st.DrawFn) -> Present:
    """Any set of deployments, some of which are on their way out."""
    there = draw(st.frozensets(st.sampled_from(NAMES)))
    return Present(there, draw(st.frozensets(st.sampled_from(sorted(there))) if there else st.just(frozenset())))


@given(manifests, memories(NAMES), environments())
def test_only_what_differs_is_touched(
    wanted: Mapping[EndpointName, Digest], known: Mapping[EndpointName, ManagedEndpoint], present: Present
) -> None:
    """B50: deployed is what is wanted and not so already, removed what is remembered and wanted no more."""
    steps = {step.endpoint: step for step in plan(wanted, known, present, NOW)}

    assert steps.keys() == wanted.keys() | known.keys()
    for name, step in steps.items():
        if step.deploys:
            record = known.get(name)
            same = record is not None and record.applied == wanted[name] and not record.leaving
            assert not (same and name in present.endpoints and record is not None and record.failure is None)
        if step.action is Action.REMOVE:
            assert name in known
            assert name not in wanted


@given(manifests, memories(NAMES), environments(), st.frozensets(st.sampled_from(NAMES)))
def test_what_is_spared_or_in_no_record_is_never_removed(
    wanted: Mapping[EndpointName, Digest],
    known: Mapping[EndpointName, ManagedEndpoint],
    present: Present,
    spared: frozenset[EndpointName],
) -> None:
    """B50, B53: what somebody else deployed stays, and the control plane does nothing to itself."""
    steps = plan(wanted, known, present, NOW, spared)

    assert not {step.endpoint for step in steps} & spared
    removed = {step.endpoint for step in steps if step.action is Action.REMOVE}
    assert removed <= {name for name, record in known.items() if record.applied is not None}


@given(manifests, manifests)
def test_any_manifest_leads_from_any_other_to_a_fixed_point(
    before: Mapping[EndpointName, Digest], after: Mapping[EndpointName, Digest]
) -> None:
    """B50: a second pass finds nothing to do."""
    known = {name: ManagedEndpoint(name, applied=digest) for name, digest in before.items()}
    present = Present(frozenset(before))
    for step in plan(after, known, present, NOW):
        match step.action:
            case Action.DEPLOY_NEW | Action.DEPLOY_CHANGED:
                known[step.endpoint] = ManagedEndpoint(step.endpoint, applied=after[step.endpoint])
            case Action.REMOVE:
                del known[step.endpoint]
            case action:
                assert action is Action.LEAVE
    touched = [step for step in plan(after, known, Present(frozenset(known)), NOW) if step.action is not Action.LEAVE]

    assert touched == []
    assert {name: record.applied for name, record in known.items()} == dict(after)


def test_a_failure_is_tried_again_when_its_time_has_come_and_at_once_when_the_manifest_changes() -> None:
    """B51: until then it is left alone, and what was applied before stays on record."""
    name, (old, new) = NAMES[0], DIGESTS
    failure = Failure(new, "refused", "no", 0.0, 1, NOW)
    known = {name: ManagedEndpoint(name, applied=old, good=old, failure=failure)}
    present = Present(frozenset({name}))

    def action(wanted: Digest, now: float) -> Action:
        (step,) = plan({name: wanted}, known, present, now)
        return step.action

    assert action(new, NOW - 1) is Action.WAIT
    assert action(new, NOW) is Action.DEPLOY_AGAIN
    assert action(Digest("3"), NOW - 1) is Action.DEPLOY_CHANGED
    assert action(old, NOW - 1) is Action.LEAVE
