"""Finding again what an earlier control plane left running: records name processes, and a hello proves them."""

from __future__ import annotations

import asyncio
import shutil
import socket
from dataclasses import dataclass
from pathlib import Path

from flashcore.builtin.process.ending import OtherProcess, adopt
from flashcore.builtin.process.launch import Launch, read_launch
from flashcore.builtin.process.places import ReplicaPlaces
from flashcore.builtin.process.strays import kill_strays
from flashcore.model.layout import Layout
from flashcore.model.names import Digest, ReplicaId
from flashcore.worker.processes import boot_id
from flashcore.worker.record import ReplicaRecord, read_record


@dataclass(frozen=True, slots=True)
class Found:
    """A replica whose process runs. Whether it answers is yet to be seen."""

    launch: Launch
    process: OtherProcess


async def find_again(layout: Layout) -> list[Found]:
    """Every replica that still runs; what is left of the others is killed and removed."""
    found: list[Found] = []
    for replica in await asyncio.to_thread(_known, layout):
        places = ReplicaPlaces(layout, replica)
        launch, record = read_launch(places.launch), read_record(places.record)
        # A replica listens before it writes its record: one without a socket cannot be spoken with any more.
        process = _process(replica, record) if _listens(places.control_socket) else None
        if process is not None and record is not None:
            found.append(Found(_launch_of(launch, record), process))
        else:
            await asyncio.to_thread(clear_away, places)
    return found


def clear_away(places: ReplicaPlaces) -> None:
    """Kill whatever was started for this replica here, and remove its folder and sockets; its log stays. Blocks.

    The launch goes first: a process that was being started when the control plane died, and is not to be seen yet,
    finds no launch of its own and ends by itself.
    """
    places.launch.unlink(missing_ok=True)
    # By a path and not by the id: another project on this machine may have a replica of that id.
    kill_strays("FLASHCORE_RECORD", str(places.record))
    remove(places)


def remove(places: ReplicaPlaces) -> None:
    """Remove a replica's folder and sockets; its log stays."""
    shutil.rmtree(places.folder, ignore_errors=True)
    for path in (places.control_socket, places.http_socket):
        path.unlink(missing_ok=True)


def _known(layout: Layout) -> list[ReplicaId]:
    if not layout.replicas.is_dir():
        return []
    return sorted(ReplicaId(path.name) for path in layout.replicas.iterdir() if path.is_dir())


def _listens(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX) as probe:
        probe.setblocking(False)
        try:
            probe.connect(str(path))
        except BlockingIOError:
            return True  # it has not taken those who came before yet
        except OSError:
            return False
    return True


def _process(replica: ReplicaId, record: ReplicaRecord | None) -> OtherProcess | None:
    if record is None or record.identity.replica != replica or record.identity.boot_id != boot_id():
        return None
    return adopt(record.identity.pid, record.start_ticks, record.identity.started_at)


def _launch_of(launch: Launch | None, record: ReplicaRecord) -> Launch:
    """What was given to it; what the launch file does not say any more counts as nothing."""
    identity = record.identity
    if launch is not None and launch.instance == identity.instance:
        return launch
    return Launch(identity.endpoint, identity.replica, identity.revision, identity.instance, Digest(""))
