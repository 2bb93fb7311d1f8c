"""What a control plane that ends everything says to whoever told it to, and waits for its end."""

import os
from dataclasses import replace
from pathlib import Path

import pytest

from flashcore.model.errors import DeadlineExceeded, StateError, Unavailable
from flashcore.model.layout import Layout
from flashcore.model.names import EndpointName, InstanceId, ReplicaId, RevisionId
from flashcore.presence import own_presence
from flashcore.server.farewell import left_something, require_all_ended, say_farewell
from flashcore.wire.hello import Identity, Stage, Status
from flashcore.worker.processes import boot_id, start_ticks
from flashcore.worker.record import ReplicaRecord, write_record

OWN = own_presence("http://127.0.0.1:1", "0")


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    """Of an environment that has a folder."""
    layout = Layout(tmp_path, "production")
    layout.home.mkdir(parents=True)
    return layout


def running(layout: Layout, replica: str) -> None:
    """Have this very process be a replica."""
    identity = Identity(
        *(EndpointName("hello"), ReplicaId(replica), InstanceId("i"), RevisionId("1" * 64)),
        *(os.getpid(), 0.0, boot_id()),
    )
    folder = layout.replicas / replica
    folder.mkdir(parents=True)
    record = ReplicaRecord(identity, "", start_ticks(os.getpid()), Status(Stage.READY))
    write_record(folder / "replica.json", record)


def test_an_end_of_everything_is_believed(layout: Layout) -> None:
    """And nothing is to be done about it any more."""
    say_farewell(layout, None)

    require_all_ended(layout, OWN)
    assert not left_something(layout)


def test_what_is_left_is_told_with_its_processes(layout: Layout) -> None:
    """Replicas of another machine have none here; whoever asks hears the same error."""
    running(layout, "hello-1")
    say_farewell(layout, DeadlineExceeded("still running: hello-1, far-1", replicas=["hello-1", "far-1"]))

    with pytest.raises(DeadlineExceeded, match="still running: hello-1, far-1") as told:
        require_all_ended(layout, OWN)

    assert told.value.data == {"replicas": ["hello-1", "far-1"], "pids": [os.getpid()]}
    assert told.value.next_step is not None
    assert told.value.next_step.endswith(f"kill -9 {os.getpid()}")
    assert left_something(layout)


def test_another_trouble_is_told_as_it_is(layout: Layout) -> None:
    """As a provider that is away."""
    say_farewell(layout, Unavailable("the provider is away", next_step="wait"))

    with pytest.raises(Unavailable, match="the provider is away"):
        require_all_ended(layout, OWN)


@pytest.mark.parametrize("said", ["nothing", "by another one", "rubbish"])
def test_who_said_nothing_is_not_taken_to_have_ended_everything(said: str, layout: Layout) -> None:
    """A control plane that was killed meanwhile, or one whose last word was that of an earlier life."""
    if said == "by another one":
        say_farewell(layout, None)
    elif said == "rubbish":
        layout.farewell_file.write_bytes(b"{}")

    with pytest.raises(Unavailable, match=r"pid \d+\) ended, and did not say"):
        require_all_ended(layout, replace(OWN, pid=1) if said == "by another one" else OWN)


def test_who_cannot_write_it_down_ends_all_the_same(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """As when the project was deleted meanwhile."""
    say_farewell(Layout(tmp_path / "gone", "production"), StateError("whatever"))

    assert "cannot be written down" in caplog.text
