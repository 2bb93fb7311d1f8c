"""States change by their tables alone."""

from __future__ import annotations

import itertools

import pytest

from flashcore.model.declaration import Policy
from flashcore.model.deployment import STATUS_MOVES, Deployment, DeploymentStatus, Surface, Traffic, move_status
from flashcore.model.errors import IllegalMove
from flashcore.model.job import JOB_MOVES, JobStatus, check_job_move
from flashcore.model.names import Digest, EndpointName, JobId, ReplicaId, RevisionId
from flashcore.model.parts import PartRef
from flashcore.model.replica import HEALTH_MOVES, PHASE_MOVES, Health, Phase, Replica, move_health, move_phase

PART = PartRef("any")
SURFACE = Surface("jobs", routing=PART, probe=PART, scaler=PART)
REPLICA = Replica(ReplicaId("r"), EndpointName("e"), RevisionId("v"), created_at=0.0)


@pytest.mark.parametrize(("before", "after"), [*itertools.product(Phase, Phase)])
def test_a_replica_moves_through_its_phases_by_the_table(before: Phase, after: Phase) -> None:
    """Legal moves are made and dated, all others are refused."""
    replica = Replica(REPLICA.id, REPLICA.endpoint, REPLICA.revision, 0.0, phase=before)

    if after in PHASE_MOVES[before]:
        moved = move_phase(replica, after, 5.0, "why")
        assert (moved.phase, moved.phase_since, moved.reason) == (after, 5.0, "why")
    else:
        with pytest.raises(IllegalMove, match="r is "):
            move_phase(replica, after, 5.0)


@pytest.mark.parametrize(("before", "after"), [*itertools.product(Health, Health)])
def test_a_replicas_health_moves_by_the_table(before: Health, after: Health) -> None:
    """Legal moves are made and dated, all others are refused."""
    replica = Replica(REPLICA.id, REPLICA.endpoint, REPLICA.revision, 0.0, health=before)

    if after in HEALTH_MOVES[before]:
        assert move_health(replica, after, 5.0).health is after
    else:
        with pytest.raises(IllegalMove):
            move_health(replica, after, 5.0)


def test_a_replica_that_ended_never_lives_again() -> None:
    """Final phases have no way out, and every other phase has one."""
    assert {phase for phase in Phase if not PHASE_MOVES[phase]} == {Phase.TERMINATED, Phase.FAILED_TO_START}


@pytest.mark.parametrize(("before", "after"), [*itertools.product(DeploymentStatus, DeploymentStatus)])
def test_a_deployments_status_moves_by_the_table(before: DeploymentStatus, after: DeploymentStatus) -> None:
    """Legal moves are made, the same status again is no move, all others are refused."""
    deployment = Deployment(EndpointName("e"), "queue", Policy(), Digest("d"), SURFACE, 1, status=before)

    if after is before:
        assert move_status(deployment, after, 5.0) is deployment
    elif after in STATUS_MOVES[before]:
        assert move_status(deployment, after, 5.0).status_since == 5.0
    else:
        with pytest.raises(IllegalMove):
            move_status(deployment, after, 5.0)


def test_destroying_never_turns_back() -> None:
    """What is being removed can only be gone."""
    assert STATUS_MOVES[DeploymentStatus.DESTROYING] == {DeploymentStatus.DESTROYED}


@pytest.mark.parametrize(("before", "after"), [*itertools.product(JobStatus, JobStatus)])
def test_q03_a_jobs_status_moves_by_the_table(before: JobStatus, after: JobStatus) -> None:
    """Q03: states and legal moves are a table, anything else is refused."""
    if after in JOB_MOVES[before]:
        check_job_move(JobId("j"), before, after)
    else:
        with pytest.raises(IllegalMove, match="job j is"):
            check_job_move(JobId("j"), before, after)


@pytest.mark.parametrize("share", [-1, 101])
def test_a_share_of_traffic_is_a_percentage(share: int) -> None:
    """Nonsense cannot be built."""
    with pytest.raises(ValueError, match="0 to 100"):
        Traffic(share)
