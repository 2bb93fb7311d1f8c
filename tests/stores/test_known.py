"""Jobs are submitted again under their ids and keys, wherever the store has them by then."""

import asyncio
import random
from dataclasses import replace
from pathlib import Path

import hypothesis.strategies as st
import pytest
from hypothesis import given

from flashcore.builtin.sqlite.jobs import journal
from flashcore.builtin.sqlite.jobs.known import Known, kind_of
from flashcore.builtin.sqlite.jobs.loading import read_standing
from flashcore.builtin.sqlite.writer import Writer
from flashcore.builtin.sqlite_jobs import SqliteJobs
from flashcore.builtin.sqlite_state import SqliteStores
from flashcore.hookspecs.jobs import Claim, Finish
from flashcore.model.job import NewJob, Payload
from flashcore.model.names import EndpointName, JobId, RevisionId, WorkerId

ENDPOINTS = (EndpointName("e"), EndpointName("f"))
WORKER, REVISION = WorkerId("w/1"), RevisionId("1" * 64)
CLAIM = Claim(ENDPOINTS[0], WORKER, REVISION, 3, lease=600.0)


@given(st.lists(st.text(max_size=3)), st.text(max_size=3))
def test_what_was_noted_may_be_there(texts: list[str], other: str) -> None:
    """Whatever came after it; what is greater than all of its first character is not."""
    known = Known(texts)

    assert all(known.may_have(text) for text in texts)
    assert known.may_have(other) == (
        other <= max((text for text in texts if kind_of(text) == kind_of(other)), default="")
    )


async def test_the_greatest_of_each_kind_are_found_when_the_store_is_opened(tmp_path: Path) -> None:
    """Whatever characters they are of; the kinds are few, so that it costs the same for any number of jobs."""
    names = ["a", "a9", "b", "", "z\x00", "é", "日本", "\U0001f600", "~", "\x7f", "\x00"]
    jobs = await opened(tmp_path)
    for name in names:
        await jobs.submit([new(f"{name}1", name), new(f"{name}2", f"{name}0")])
    await jobs.close()

    jobs = await opened(tmp_path)
    book = jobs._desk.book  # noqa: SLF001 - what it knows is seen nowhere else
    assert all(book.must_look(1, f"{name}{n}", None) for name in names for n in (1, 2))
    assert all(book.must_look(1, "\U0010ffff", key) for name in names for key in (name, f"{name}0"))
    assert not book.must_look(1, "\U0010ffff", "\U0010ffff")
    assert not book.must_look(1, "a99", "a99")
    assert len(list(jobs._writer.look(read_standing).ids)) < len(names)  # noqa: SLF001 - as above
    await jobs.close()


@pytest.mark.parametrize("seed", range(3))
async def test_an_id_and_a_key_give_the_job_that_has_them(
    seed: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Q01: in memory, in the tables alone, after the store was opened again; promised by the loop or not."""
    chance = random.Random(seed)
    monkeypatch.setattr(journal, "QUICK", 60.0)
    monkeypatch.setattr(journal, "QUICK_IN_A_ROW", 3)
    monkeypatch.setattr("flashcore.builtin.sqlite.jobs.resting.MOST_JOBS", 2)
    ids: dict[str, bytes] = {}
    keys: dict[tuple[str, str], bytes] = {}
    jobs = await opened(tmp_path)
    for _ in range(300):
        match chance.choices(["submit", "finish", "sweep", "reopen"], weights=[24, 12, 4, 1])[0]:
            case "submit":
                await submit(jobs, chance, ids, keys)
            case "finish":
                claim = Claim(chance.choice(ENDPOINTS), WORKER, REVISION, 3, lease=600.0)
                held = await jobs.claim(claim)
                await jobs.finish([Finish(one.id, WORKER, Payload(b"r")) for one in held])
            case "sweep":
                await jobs.sweep()
            case _:
                await jobs.close()
                jobs = await opened(tmp_path)
    assert len(ids) > 40
    await jobs.close()


async def test_one_look_at_the_tables_is_enough_after_a_clash(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Q01: an id that only they have comes with a new key; a second look was one chance less while memory is full."""
    monkeypatch.setattr("flashcore.builtin.sqlite.jobs.desk._MOST_CLASHES", 2)
    jobs = await opened(tmp_path)
    first = Payload(b"first")
    await jobs.submit([NewJob(JobId("known"), ENDPOINTS[0], first, lane=0)])
    await jobs.finish([Finish(one.id, WORKER, Payload(b"r")) for one in await jobs.claim(CLAIM)])
    await jobs.close()

    jobs = await opened(tmp_path)
    (got,) = await jobs.submit([NewJob(JobId("known"), ENDPOINTS[0], Payload(b"again"), lane=0, idempotency_key="new")])

    assert got.new.input == first
    await jobs.close()


async def submit(
    jobs: SqliteJobs, chance: random.Random, ids: dict[str, bytes], keys: dict[tuple[str, str], bytes]
) -> None:
    """A job of an id and a key that grow from job to job, or were there before; ids are each endpoint's own."""
    endpoint = chance.choice(ENDPOINTS)
    identity = f"{chance.choice(['', 'sync-'])}{endpoint}{len(ids) - chance.choice([0, 0, *range(30)]):03d}"
    key = chance.choice([None, f"{chance.choice(['', 'sealed-'])}{len(ids) - chance.choice([0, 0, *range(30)]):03d}"])
    mine = chance.randbytes(8)
    known = (keys.get((endpoint, key)) if key is not None else None) or ids.get(identity)

    (got,) = await jobs.submit([NewJob(JobId(identity), endpoint, Payload(mine), lane=0, idempotency_key=key)])

    assert got.new.input.data == (known or mine)
    if known is None:
        ids[identity] = mine
        if key is not None:
            keys[endpoint, key] = mine


async def test_what_is_newer_than_all_that_is_there_is_not_looked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As are the ids and keys that flashcore makes: they begin with the time."""
    monkeypatch.setattr(journal, "QUICK", 60.0)
    monkeypatch.setattr(journal, "QUICK_IN_A_ROW", 1)
    looks: list[object] = []
    look = Writer.look

    def counted(writer: Writer, call: object) -> object:
        looks.append(call)
        return look(writer, call)  # type: ignore[arg-type]  # as it was given

    jobs = await opened(tmp_path)
    await jobs.submit([new("05", "5"), new("sync-05", "sealed-5")])
    await jobs.close()
    jobs = await opened(tmp_path)
    await jobs.submit([new("06", "6")])
    monkeypatch.setattr(Writer, "look", counted)

    for name in ("07", "sync-06", "sync-08", "09"):
        await jobs.submit([new(name, f"sealed-{name}" if name[0] == "s" else name)])
    assert looks == []
    await jobs.submit([new("04", "99")])
    await jobs.submit([new("10", "sealed-4")])
    assert len(looks) == 2
    await jobs.close()


def new(identity: str, key: str) -> NewJob:
    """A job."""
    return NewJob(JobId(identity), ENDPOINTS[0], Payload(b"x"), lane=0, idempotency_key=key)


async def opened(folder: Path) -> SqliteJobs:
    """The jobs in a folder."""
    return await SqliteStores().open_jobs(f"sqlite:///{folder}/jobs.db")


@pytest.mark.parametrize("applied", [False, True])
async def test_an_id_that_is_free_again_comes_with_the_key_of_another_job(
    applied: bool,  # noqa: FBT001 - whether the tables have that one
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Q01: it gives the job of that key, also where all of it happens in one batch; two jobs never have one key."""
    monkeypatch.setattr(journal, "QUICK", 60.0)
    monkeypatch.setattr(journal, "QUICK_IN_A_ROW", 1)
    jobs = await opened(tmp_path)
    await jobs.submit([new("01", "1")])
    await jobs.submit([new("02", "k")])
    if applied:
        await jobs.sweep()
    soon_over = replace(new("03", "3"), retention=0.0)

    answers = await asyncio.gather(jobs.submit([soon_over]), jobs.cancel(JobId("03")), jobs.submit([new("03", "k")]))
    await jobs.submit([soon_over])
    await jobs.cancel(JobId("03"))
    (again,) = await jobs.submit([new("03", "k")])

    assert [one.id for one in answers[2]] == ["02"]
    assert again.id == "02"
    await jobs.close()
    jobs = await opened(tmp_path)
    assert await jobs.get(JobId("02")) == again
    await jobs.close()
