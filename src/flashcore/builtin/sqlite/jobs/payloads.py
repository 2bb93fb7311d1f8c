"""Where large payloads are: written to files before a job that has them is, and brought back for those who ask."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from functools import partial

from flashcore.builtin.sqlite.blobs import Blobs
from flashcore.builtin.sqlite.jobs import loading
from flashcore.builtin.sqlite.jobs.entry import Shelved
from flashcore.builtin.sqlite.jobs.flush import let_go_of
from flashcore.builtin.sqlite.writer import Writer
from flashcore.hookspecs.jobs import BLOB_THRESHOLD
from flashcore.model.errors import StateError, StorageFull
from flashcore.model.job import Job, NewJob, Payload, StreamItem

OUTPUT, PROGRESS, INPUT = range(3)
"""The slots of a job, as `loading.payloads` counts them."""


class Payloads:
    """The payloads of one job store."""

    def __init__(self, writer: Writer, blobs: Blobs, when_settled: Callable[[Callable[[], None]], None]) -> None:
        self._writer = writer
        self._blobs = blobs
        self._when_settled = when_settled
        """Calls somebody once what was asked for until then is on disk, or never will be."""

    @asynccontextmanager
    async def shelved(self, payloads: Sequence[Payload | None]) -> AsyncGenerator[list[Payload | None], None]:
        """The same payloads with those that are too large for a row in files.

        They are kept until what is asked for within the block is settled, also where nobody waits for that any longer.
        """
        large = {id(payload): payload for payload in payloads if is_large(payload) and payload is not None}
        contents = [payload.data for payload in large.values()]
        async with self._blobs.stored(contents, self._when_settled) as digests:
            named = {
                key: Shelved(media=payload.media, digest=digest)
                for (key, payload), digest in zip(large.items(), digests, strict=True)
            }
            yield [named.get(id(payload), payload) for payload in payloads]

    async def whole(self, n: int, job: Job) -> Job:
        """The job with all its payloads, the one of number `n`. Raises StateCorrupt for one that is lost.

        Not for the input of a job that has ended, which nobody needs any more.
        """
        if not job.status.final and isinstance(job.new.input, Shelved):
            job = replace(job, new=replace(job.new, input=await self.fetch(n, INPUT, job.new.input)))
        return await self.told(n, job)

    async def told(self, n: int, job: Job) -> Job:
        """The job for who wants to know what became of it: of a lost input it has an empty one, of lost progress none.

        Raises StateCorrupt where the output is lost.
        """
        if isinstance(job.new.input, Shelved):
            left = await self._left(n, INPUT, job.new.input)
            job = replace(job, new=replace(job.new, input=left or Payload(b"", job.new.input.media)))
        if isinstance(job.output, Shelved):
            job = replace(job, output=await self.fetch(n, OUTPUT, job.output))
        if isinstance(job.progress, Shelved):
            job = replace(job, progress=await self._left(n, PROGRESS, job.progress))
        return job

    async def _left(self, n: int, slot: int, known: Shelved) -> Payload | None:
        """As `fetch`, None for one that is lost, or cannot be read now: what became of the job is told all the same."""
        try:
            return await self.fetch(n, slot, known)
        except StateError:
            return None

    async def fetch(self, n: int, slot: int, known: Shelved) -> Payload:
        """A payload's bytes; those of a job that has gone meanwhile are none."""
        if known.digest is None:
            (stored,) = await self._writer.read(partial(loading.payloads, [(n, slot)]))
            return await self.unshelved(stored or Payload(b"", known.media))
        return await self.unshelved(known)

    async def taken(self, n: int, items: Sequence[StreamItem]) -> None:
        """These are in the stream of job number `n` no more: their files go, unless somebody needs the same."""
        values = [item.value for item in items]
        files = {one.digest for one in values if isinstance(one, Shelved) and one.digest is not None}
        if files:
            with contextlib.suppress(StateError, StorageFull):  # they go with the job
                await self._writer.write(partial(let_go_of, n, files), self._blobs.remove)

    async def unshelved(self, payload: Payload) -> Payload:
        """The payload with its bytes, from its file if it is in one."""
        if isinstance(payload, Shelved) and payload.digest is not None:
            return Payload(await self._blobs.read(payload.digest), payload.media)
        return payload


def is_large(payload: Payload | None) -> bool:
    """Whether a payload belongs in a file of its own."""
    return payload is not None and len(payload.data) > BLOB_THRESHOLD


def has_shelved(job: Job) -> bool:
    """Whether some payload of a job in memory is on disk alone."""
    return isinstance(job.new.input, Shelved) or isinstance(job.output, Shelved) or isinstance(job.progress, Shelved)


def given_inputs(jobs: Sequence[NewJob], stored: Sequence[NewJob]) -> dict[str, Payload]:
    """The inputs of jobs that were just submitted, by the names of the files that they are in; as `stored` has them."""
    pairs = zip(jobs, stored, strict=True)
    return {
        kept.input.digest: new.input
        for new, kept in pairs
        if isinstance(kept.input, Shelved) and kept.input.digest is not None
    }


def with_given(job: Job, given: Mapping[str, Payload]) -> Job:
    """The job with its input where that was just given, so that nobody reads it again."""
    known = job.new.input
    if not isinstance(known, Shelved) or known.digest is None or known.digest not in given:
        return job
    return replace(job, new=replace(job.new, input=Payload(given[known.digest].data, known.media)))
