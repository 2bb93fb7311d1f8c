"""What a provider reports becomes a replica's phase and health."""

import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flashcore.control.draft import Draft
from flashcore.control.health import Judgement
from flashcore.control.lifecycle import judged, observe, reported
from flashcore.control.snapshot import Snapshot
from flashcore.hookspecs.providers import Gone, InstanceState, Pending, Running, Stopping
from flashcore.model.declaration import Policy
from flashcore.model.deployment import Deployment, Surface
from flashcore.model.names import Digest, EndpointName, InstanceId, ReplicaId, RevisionId
from flashcore.model.parts import PartRef
from flashcore.model.replica import Health, Phase, Replica, move_phase
from flashcore.wire.hello import Stage

ONE, OTHER = InstanceId("one"), InstanceId("other")
NEW = Replica(ReplicaId("r"), EndpointName("e"), RevisionId("v"), created_at=0.0)


def running(stage: Stage, instance: InstanceId = ONE, detail: str = "") -> Running:
    """A process that says so much of itself, since second 5."""
    return Running(instance, stage, since=5.0, detail=detail, address="unix:/r")


def after(*states: InstanceState, replica: Replica = NEW) -> Replica:
    """The replica after these reports, one a second from second 10."""
    for second, state in enumerate(states, start=10):
        replica = reported(replica, state, float(second))
    return replica


READY = after(running(Stage.READY))


def test_a_replica_goes_through_its_phases() -> None:
    """As its provider and its worker tell."""
    assert after(Pending("no machine")).phase is Phase.PENDING
    assert after(Pending("no machine")).reason == "no machine"
    assert after(running(Stage.STARTING)).phase is Phase.STARTING
    assert after(running(Stage.LOADING)).phase is Phase.WARMING_UP
    assert READY.phase is Phase.RUNNING


def test_the_workers_own_word_is_a_proof_of_health() -> None:
    """S24: no probe is waited for on top of it."""
    assert READY.ready


def test_e45_the_initial_delay_counts_from_when_the_process_runs() -> None:
    """E45: not from when the replica was wanted."""
    assert after(Pending("queued"), running(Stage.LOADING)).running_since == 5.0


def test_e43_a_process_that_dies_while_it_warms_up_has_failed_at_once() -> None:
    """E43: with its exit and its last words."""
    dead = after(running(Stage.LOADING), Gone("exited with status 1", exit_code=1, log_tail=("Traceback",)))

    assert dead.phase is Phase.FAILED_TO_START
    assert dead.reason == "exited with status 1"
    assert dead.log_tail == ("Traceback",)


def test_e43_a_replica_that_no_provider_has_heard_of_is_left_alone() -> None:
    """E43: there is nothing to conclude from a place in the queue."""
    assert after(Pending("queued"), Pending("queued")).live


def test_a_worker_that_says_it_cannot_serve_leaves_with_its_reason() -> None:
    """It is finished only when its provider says that it is gone."""
    leaving = after(running(Stage.FAILED, detail="ImportError: no module named 'x'"))
    gone = after(Gone("exited with status 1", log_tail=("last line",)), replica=leaving)

    assert leaving.phase is Phase.DRAINING
    assert gone.phase is Phase.FAILED_TO_START
    assert gone.reason == "ImportError: no module named 'x'"
    assert gone.log_tail == ("last line",)


def test_a_crash_after_it_was_ready_is_no_failure_to_start() -> None:
    """It is terminated."""
    assert after(Gone("killed"), replica=READY).phase is Phase.TERMINATED


def test_e48_the_reason_of_waiting_goes_with_the_waiting() -> None:
    """E48: a replica that runs does not say that it lacks a machine."""
    assert after(Pending("no machine"), running(Stage.LOADING)).reason == ""


def test_e80_a_process_started_again_in_place_is_the_same_replica_and_not_ready() -> None:
    """E80, S60: its health is that of its new life."""
    again = after(running(Stage.LOADING, OTHER), replica=READY)

    assert again.id == READY.id
    assert (again.phase, again.health, again.instance) == (Phase.WARMING_UP, Health.NOT_CHECKED, OTHER)
    assert after(running(Stage.READY, OTHER), replica=again).ready


def test_a_running_replica_whose_provider_waits_again_is_not_ready() -> None:
    """Its process is gone, another is to come."""
    assert not after(Pending("starting it again"), replica=READY).ready


def test_a_replica_that_stops_by_itself_drains() -> None:
    """Somebody told it to stop, and it was not us."""
    assert after(running(Stage.DRAINING), replica=READY).phase is Phase.DRAINING
    assert after(Stopping(1.0), replica=READY).phase is Phase.DRAINING


def test_s40_nothing_but_its_end_changes_a_draining_replica() -> None:
    """S40: neither what its worker says nor what a probe found."""
    draining = move_phase(READY, Phase.DRAINING, 20.0, "replaced")
    failed = Judgement(ONE, Health.UNHEALTHY)

    assert after(running(Stage.READY), Pending("x"), running(Stage.FAILED), replica=draining) == draining
    assert judged(draining, running(Stage.READY), failed, 30.0) == draining


def test_s32_a_judgement_of_another_life_is_thrown_away() -> None:
    """S32: the answer came after the process had been started again."""
    assert judged(READY, running(Stage.READY), Judgement(OTHER, Health.UNHEALTHY), 30.0) == READY


def test_successful_probes_make_a_replica_run_that_does_not_speak() -> None:
    """A worker without a hello of its own."""
    silent = after(running(Stage.STARTING))

    assert judged(silent, running(Stage.STARTING), Judgement(ONE, Health.HEALTHY), 30.0).ready


def test_a_replica_that_says_it_is_loading_is_not_called_ready_by_a_probe() -> None:
    """Its own word is nearer to the truth."""
    loading = after(running(Stage.LOADING))

    assert not judged(loading, running(Stage.LOADING), Judgement(ONE, Health.HEALTHY), 30.0).ready


def test_probes_that_never_succeed_are_a_failure_to_start() -> None:
    """Where no initial delay rules."""
    silent = after(running(Stage.STARTING))
    failed = judged(silent, running(Stage.STARTING), Judgement(ONE, Health.FAILED, detail="refused"), 30.0)

    assert failed.failed
    assert failed.phase is Phase.DRAINING
    assert "refused" in failed.reason


def test_an_address_that_changes_is_taken_over() -> None:
    """It comes with the worker's word that it is ready."""
    bare = dataclasses.replace(running(Stage.LOADING), address=None)

    assert after(bare, running(Stage.READY)).address == "unix:/r"


STATES = st.one_of(
    st.builds(Pending, st.just("wait")),
    st.builds(Running, st.sampled_from([ONE, OTHER]), st.sampled_from(Stage), st.just(5.0)),
    st.builds(Stopping, st.just(1.0)),
    st.builds(Gone, st.just("gone"), permanent=st.booleans()),
)


@given(st.lists(st.tuples(STATES, st.sampled_from(Health)), max_size=12))
def test_no_sequence_of_reports_is_an_illegal_move(reports: list[tuple[InstanceState, Health]]) -> None:
    """Providers may say anything in any order; what is finished stays finished."""
    replica = NEW
    for second, (state, health) in enumerate(reports):
        before = replica
        replica = reported(replica, state, float(second))
        if replica.instance is not None:
            replica = judged(replica, state, Judgement(replica.instance, health), float(second))
        assert before.exists or replica == before


@pytest.mark.parametrize("phase", [Phase.TERMINATED, Phase.FAILED_TO_START])
def test_what_is_finished_is_never_alive_again(phase: Phase) -> None:
    """Whoever reports it."""
    finished = dataclasses.replace(NEW, phase=phase)

    assert after(running(Stage.READY), Pending("x"), Gone("again"), replica=finished).phase is phase


def seen(replica: Replica, state: InstanceState) -> Replica:
    """The replica after a pass that saw it so."""
    return drafted(replica, state).replicas[replica.id]


def drafted(replica: Replica, state: InstanceState) -> Draft:
    """A pass that saw it so."""
    surface = Surface("jobs", PartRef("p2c"), PartRef("http"), PartRef("fixed"))
    deployment = Deployment(replica.endpoint, "queue", Policy(), Digest("d"), surface, goal=1, stable=replica.revision)
    snapshot = Snapshot(deployment, {}, {replica.id: replica}, sightings={replica.id: state})
    draft = Draft(snapshot, 30.0, lambda *_: ReplicaId("x"))
    observe(draft)
    return draft


def test_a_process_that_was_started_again_between_two_looks_is_another_life() -> None:
    """S60, E80: it was ready before and is ready now; nobody saw it load, and it is not the same process."""
    again = seen(READY, running(Stage.READY, OTHER))

    assert (again.instance, again.ready) == (OTHER, True)
    assert again.running_since == 5.0


def test_an_address_that_moved_between_two_looks_is_taken_over() -> None:
    """E56: a table with the old one would send calls to whoever has it now."""
    moved = dataclasses.replace(running(Stage.READY), address="tcp:10.0.0.9:80")

    assert seen(READY, moved).address == "tcp:10.0.0.9:80"
    assert seen(READY, running(Stage.READY)) is READY


def test_only_what_never_ran_is_beyond_help() -> None:
    """E09: a provider that says so of a replica that had been ready speaks of that one, not of the revision."""
    lost = Gone("the package is not there", permanent=True)
    loading = after(running(Stage.LOADING))

    (never,), (once,) = drafted(loading, lost).casualties, drafted(READY, lost).casualties

    assert (never.permanent, never.ran_for) == (True, None)
    assert (once.permanent, once.ran_for) == (False, 20.0)
