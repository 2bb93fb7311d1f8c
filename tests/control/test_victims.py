"""Who goes when there are to be fewer: those who are missed least."""

from hypothesis import given
from hypothesis import strategies as st

from flashcore.control.sides import Side, side_of
from flashcore.control.victims import choose
from flashcore.model.names import EndpointName, ReplicaId, RevisionId
from flashcore.model.replica import Health, Phase, Replica

OLD, NEW = RevisionId("old"), RevisionId("new")


def replica(
    name: str,
    phase: Phase = Phase.RUNNING,
    health: Health = Health.HEALTHY,
    *,
    revision: RevisionId = NEW,
    created: float = 0.0,
    cordoned: bool = False,
) -> Replica:
    """One of the endpoint's."""
    made = Replica(ReplicaId(name), EndpointName("e"), revision, created, phase, health=health, cordoned=cordoned)
    assert made.live == (phase is not Phase.DRAINING)
    return made


def order(*replicas: Replica, doomed: frozenset[RevisionId] = frozenset()) -> list[str]:
    """The names of all of them, in the order in which they would go."""
    sides: list[Side] = [side_of(name, [one for one in replicas if one.revision == name]) for name in (OLD, NEW)]
    return [str(one.id) for one in choose(sides, len(replicas), doomed)]


def test_who_cannot_serve_goes_before_who_can() -> None:
    """E53, E04: given up, pending, starting, warming up, unwell, and only then the oldest of those that serve."""
    waiting = Health.NOT_CHECKED

    assert order(
        replica("younger", created=9.0),
        replica("older", created=1.0),
        replica("unwell", health=Health.UNHEALTHY),
        replica("warming", Phase.WARMING_UP, waiting),
        replica("starting", Phase.STARTING, waiting),
        replica("pending", Phase.PENDING, waiting),
        replica("failed", health=Health.FAILED),
    ) == ["failed", "pending", "starting", "warming", "unwell", "older", "younger"]


def test_who_is_cordoned_goes_before_others_that_serve() -> None:
    """E49: it gets no calls: nobody misses it."""
    assert order(replica("serving", created=1.0), replica("aside", created=9.0, cordoned=True)) == ["aside", "serving"]


def test_what_is_superseded_goes_first_of_its_kind() -> None:
    """M14, M55: before others that cannot serve, and before others that can; but no ready one before an unready one."""
    assert order(
        replica("stable", created=1.0),
        replica("half way", revision=OLD, created=9.0),
        replica("starting", Phase.STARTING, Health.NOT_CHECKED),
        replica("warming half way", Phase.WARMING_UP, Health.NOT_CHECKED, revision=OLD),
        replica("aside", cordoned=True),
        doomed=frozenset({OLD}),
    ) == ["warming half way", "starting", "aside", "half way", "stable"]


REPLICAS = st.lists(
    st.builds(
        replica,
        st.uuids().map(str),
        st.sampled_from([Phase.PENDING, Phase.STARTING, Phase.WARMING_UP, Phase.RUNNING]),
        st.sampled_from(Health),
        revision=st.sampled_from([OLD, NEW]),
        created=st.floats(0, 10),
        cordoned=st.booleans(),
    ),
    max_size=12,
)


@given(REPLICAS, st.integers(-2, 14))
def test_nobody_who_serves_goes_while_somebody_stays_who_does_not(replicas: list[Replica], count: int) -> None:
    """E04, E53: as many as were asked for, none twice, and those that serve last of all."""
    sides = [side_of(name, [one for one in replicas if one.revision == name]) for name in (OLD, NEW)]

    gone = choose(sides, count, {OLD})

    assert len(gone) == len({one.id for one in gone}) == min(max(0, count), len(replicas))
    stay = [one for one in replicas if one not in gone]
    assert not any(one.ready for one in gone) or all(one.ready for one in stay)
