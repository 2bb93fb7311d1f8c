"""Power failures at any moment of a job store's life.

The journal and the tables lose what they had not synced, each by itself; together they have all that was promised.
"""

import asyncio
import random
import shutil
from pathlib import Path
from typing import Any

import pytest
from tests.stores.wal import used

from flashcore.builtin.sqlite.committer import Committer
from flashcore.builtin.sqlite.jobs import backlog, journal
from flashcore.builtin.sqlite.jobs.applying import apply
from flashcore.builtin.sqlite_jobs import SqliteJobs
from flashcore.builtin.sqlite_state import SqliteStores
from flashcore.hookspecs.jobs import Claim, Finish
from flashcore.model.job import Job, NewJob, Payload
from flashcore.model.names import EndpointName, JobId, RevisionId, WorkerId

ENDPOINT, WORKER, REVISION = EndpointName("e"), WorkerId("w/1"), RevisionId("1" * 64)
STEPS = 90


class Disk:
    """What of a folder is sure to be on disk: all of the journal, and SQLite's log up to its last sync."""

    def __init__(self, folder: Path, chance: random.Random) -> None:
        self.folder = folder
        self.synced = 0
        self._chance = chance

    def note(self) -> None:
        """All that was written is on disk."""
        self.synced = used(self._wal(self.folder))

    def fail(self, to: Path) -> Path:
        """A copy as it is after a power failure at this moment: of what was not synced, any beginning is there."""
        shutil.rmtree(to, ignore_errors=True)
        shutil.copytree(self.folder, to, ignore=shutil.ignore_patterns("*-shm"))
        end = self._chance.randint(self.synced, max(self.synced, used(self._wal(self.folder))))
        with self._wal(to).open("r+b") as wal:
            wal.truncate(end)
        return to

    @staticmethod
    def _wal(folder: Path) -> Path:
        return folder / "jobs.db-wal"


class Life:
    """Random calls on a store, and what is promised after each of them."""

    def __init__(self, jobs: SqliteJobs, chance: random.Random) -> None:
        self._jobs = jobs
        self._chance = chance
        self._held: list[JobId] = []
        self._last = 0

    async def step(self) -> None:
        """One call, or a few at once."""
        usual = {self._submit: 10, self._claim: 6, self._finish: 6, self._progress: 2}
        calls = usual | {self._cancel: 1, self._unusual: 1, self._jobs.sweep: 3}
        chosen = self._chance.choices([*calls], weights=[*calls.values()], k=self._chance.randint(1, 4))
        await asyncio.gather(*(call() for call in chosen))

    async def all(self, jobs: SqliteJobs) -> list[Job | None]:
        """All jobs that there ever were, as a store has them."""
        return [await jobs.get(JobId(str(n))) for n in range(1, self._last + 1)]

    async def _submit(self) -> None:
        new = []
        for _ in range(self._chance.randint(1, 6)):
            self._last += 1
            content = Payload(self._chance.randbytes(self._chance.randint(0, 900)))
            key = f"k{self._last}" if self._chance.random() < 0.5 else None
            new.append(NewJob(JobId(str(self._last)), ENDPOINT, content, self._last % 3, idempotency_key=key))
        await self._jobs.submit(new)

    async def _claim(self) -> None:
        got = await self._jobs.claim(Claim(ENDPOINT, WORKER, REVISION, self._chance.randint(1, 8), lease=600.0))
        self._held += [one.id for one in got]

    async def _finish(self) -> None:
        ended, self._held = self._held[:4], self._held[4:]
        await self._jobs.finish([Finish(job, WORKER, Payload(self._chance.randbytes(300))) for job in ended])

    async def _progress(self) -> None:
        if self._held:
            await self._jobs.progress(WORKER, self._held[-1], Payload(b"half"))

    async def _cancel(self) -> None:
        await self._jobs.cancel(JobId(str(self._chance.randint(1, self._last + 1))))

    async def _unusual(self) -> None:
        """What goes to the tables at once."""
        if self._held:
            await self._jobs.append_stream(WORKER, self._held[-1], Payload(b"chunk"))
        elif self._chance.random() < 0.2:
            await self._jobs.purge(ENDPOINT)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("here", [False, True], ids=["thread", "loop"])
async def test_nothing_promised_is_lost_by_a_power_failure(
    seed: int,
    here: bool,  # noqa: FBT001 - whether the loop promises
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Q01: at a dozen moments of a store whose journal is often full and whose tables are behind."""
    chance = random.Random(seed)
    disk = Disk(tmp_path / "a", chance)
    _watch_syncs(monkeypatch, disk)
    monkeypatch.setattr(journal, "HALF", 64 << 10)
    monkeypatch.setattr(journal, "QUICK", 60.0 if here else 0.0)
    monkeypatch.setattr(backlog, "ENOUGH_JOBS", 16)
    jobs = await _opened(tmp_path / "a")
    await jobs._writer.read(lambda file: file.execute("PRAGMA wal_autocheckpoint = 0").fetchall())  # noqa: SLF001 - so that the log shows what was synced
    disk.note()
    life = Life(jobs, chance)
    behind = 0

    for number in range(STEPS):
        await life.step()
        if number % 10 == 9:
            behind += used(tmp_path / "a" / "jobs.db-wal") - disk.synced
            promised = await life.all(jobs)
            left = await _opened(disk.fail(tmp_path / "b"))
            assert await life.all(left) == promised
            await left.close()

    assert behind, "the tables were never behind"
    promised = await life.all(jobs)
    await jobs.close()
    again = await _opened(tmp_path / "a")
    assert await life.all(again) == promised
    await again.close()


def _watch_syncs(monkeypatch: pytest.MonkeyPatch, disk: Disk) -> None:
    """Have the disk hear whenever SQLite has synced its log."""
    write = Committer.write

    def written(committer: Committer, calls: Any) -> Any:
        outcomes = write(committer, calls)
        if committer.path.parent == disk.folder:
            disk.note()
        return outcomes

    def applied(*given: Any, synced: bool) -> bool:
        wrote = apply(*given, synced=synced)
        if synced and wrote:  # SQLite syncs nothing for a transaction that wrote nothing
            disk.note()
        return wrote

    monkeypatch.setattr(Committer, "write", written)
    monkeypatch.setattr("flashcore.builtin.sqlite.jobs.applier.apply", applied)


async def _opened(folder: Path) -> SqliteJobs:
    return await SqliteStores().open_jobs(f"sqlite:///{folder}/jobs.db")
