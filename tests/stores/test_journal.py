"""The file of what the job store has promised: what was appended is found, whatever became of what came after it."""

import errno
import os
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import hypothesis.strategies as st
import pytest
from hypothesis import HealthCheck, given, settings
from tests.full_disk import no_file_grows_beyond

from flashcore.builtin.sqlite.jobs import journal
from flashcore.builtin.sqlite.jobs.journal import LIFE, Journal
from flashcore.builtin.sqlite.jobs.records import Unreadable
from flashcore.builtin.sqlite.jobs.synced import BLOCK, NotWhole, SyncedFile
from flashcore.model.errors import StateError, StorageFull

LIFE_ONE, LIFE_TWO = b"1" * LIFE, b"2" * LIFE
HALF = 4 * BLOCK
LARGE = HALF - BLOCK // 2


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Halves that are soon full."""
    monkeypatch.setattr(journal, "HALF", HALF)


@pytest.fixture
def file(tmp_path: Path) -> Iterator[Journal]:
    """A journal in its first life."""
    with closing(Journal(tmp_path / "journal")) as made:
        made.begin(LIFE_ONE)
        yield made


def found(path: Path, life: bytes = LIFE_ONE, applied: int = 0) -> list[tuple[int, bytes]]:
    """What whoever opens it finds, who has all up to a batch."""
    with closing(Journal(path)) as other:
        return other.records(life, applied)


@given(
    st.lists(st.tuples(st.integers(0, 3 * BLOCK), st.integers(0, 5)), max_size=30),
    st.integers(0, 9000),
    st.integers(0, 2 * BLOCK),
)
@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_what_the_tables_may_lack_is_found_after_any_crash(
    tmp_path: Path, steps: list[tuple[int, int]], cut: int, size_torn: int
) -> None:
    """Every record beyond what was settled, in order, whole; whatever of the next one came to the disk."""
    path = tmp_path / "journal"
    path.unlink(missing_ok=True)
    written: list[tuple[int, bytes]] = []
    settled, torn = 0, b"t" * size_torn
    with closing(Journal(path)) as made:
        made.begin(LIFE_ONE)
        for number, (size, behind) in enumerate(steps, 1):
            record = bytes([number]) * size
            if not made.takes(size):
                made.settle(number - 1)
                settled = number - 1
            assert made.takes(size)
            made.append(number, record)
            written.append((number, record))
            if made.waits_for(number - behind):
                made.settle(number - behind)
                settled = max(settled, number - behind)
        if not made.takes(len(torn)):
            made.settle(len(steps))
            settled = len(steps)
        made.append(len(steps) + 1, torn)
        place = made._tail.place - journal._blocks(len(torn))  # noqa: SLF001 - where it went
    content = bytearray(path.read_bytes())
    if cut < journal._RECORD.size + len(torn) + journal._CHECK.size:  # noqa: SLF001 - its head
        content[place + cut : place + journal._blocks(len(torn))] = bytes(journal._blocks(len(torn)) - cut)  # noqa: SLF001 - what was there before is as good
    path.write_bytes(content)

    left = found(path, applied=settled)
    promised = [one for one in written if one[0] > settled]
    assert left[: len(promised)] == promised
    assert left[len(promised) :] in ([], [(len(steps) + 1, torn)])


def test_there_is_no_room_before_the_tables_have_what_is_in_the_other_half(file: Journal) -> None:
    """On disk: what is only written there may be lost."""
    file.append(1, bytes(LARGE))
    assert file.takes(LARGE)
    assert not file.waits_for(1)
    file.append(2, bytes(LARGE))
    assert not file.takes(LARGE)
    assert not file.waits_for(0)
    assert file.waits_for(1)

    file.settle(1)
    assert not file.waits_for(2)
    file.append(3, b"x" * LARGE)
    assert found(file.path, applied=1) == [(2, bytes(LARGE)), (3, b"x" * LARGE)]


def test_a_record_that_is_larger_than_a_half_is_never_taken(file: Journal) -> None:
    """Nor one that fits without its head alone."""
    assert not file.takes(HALF)
    around = journal._RECORD.size + journal._CHECK.size  # noqa: SLF001 - what else there is of it
    assert not file.takes(HALF - around + 1)
    assert file.takes(HALF - around)


def test_what_could_not_be_synced_is_taken_back(file: Journal, monkeypatch: pytest.MonkeyPatch) -> None:
    """When its caller hears that it is not there, it is not; what comes next takes its place."""
    write = SyncedFile.write

    def fail_with_two(synced: SyncedFile, data: bytes, place: int) -> None:
        write(synced, data, place)
        if b"two" in data:
            assert found(file.path) == [(1, b"one"), (2, b"two")]
            raise OSError(errno.EIO, "the disk fails")

    file.append(1, b"one")
    with monkeypatch.context() as patched:
        patched.setattr(SyncedFile, "write", fail_with_two)
        with pytest.raises(StateError, match="journal"):
            file.append(2, b"two")

    assert found(file.path) == [(1, b"one")]
    file.append(3, b"three")
    assert found(file.path) == [(1, b"one"), (3, b"three")]


def test_what_cannot_be_taken_back_is_tried_again(file: Journal, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is there until then, and whoever asks for it hears why."""
    write = SyncedFile.write
    troubles = [errno.EIO, errno.ENOSPC, errno.ENOSPC]

    def fail(synced: SyncedFile, data: bytes, place: int) -> None:
        trouble = troubles.pop(0)
        if trouble == errno.ENOSPC:
            raise NotWhole(trouble, "no room")
        write(synced, data, place)
        raise OSError(trouble, "the disk fails")

    file.append(1, b"one")
    with monkeypatch.context() as patched:
        patched.setattr(SyncedFile, "write", fail)
        with pytest.raises(StateError):
            file.append(2, b"two")
        with pytest.raises(StorageFull):
            file.take_back(1)
    assert found(file.path) == [(1, b"one"), (2, b"two")]

    file.take_back(1)
    assert found(file.path) == [(1, b"one")]


def test_what_was_cut_off_is_no_record(file: Journal, monkeypatch: pytest.MonkeyPatch) -> None:
    """As a full disk does that has room for a part of it."""
    file.append(1, b"one")
    with monkeypatch.context() as patched:
        patched.setattr(os, "pwrite", lambda *to, write=os.pwrite: write(to[0], to[1][:BLOCK], to[2]))
        with pytest.raises(StorageFull, match="journal"):
            file.append(2, b"2" * BLOCK + bytes(BLOCK))  # what is missing looks like what is there

    assert found(file.path) == [(1, b"one")]
    file.append(3, b"three")
    assert found(file.path) == [(1, b"one"), (3, b"three")]


def test_a_system_without_direct_writes_has_the_same_journal(file: Journal, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whether it says so when the file is opened or when it is written to."""
    file.append(1, b"by either")
    pwrite = os.pwrite

    def refuse(to: int, data: bytes | memoryview, place: int) -> int:
        if isinstance(data, memoryview):
            raise OSError(errno.EINVAL, "not here")
        return pwrite(to, data, place)

    with monkeypatch.context() as patched:
        patched.setattr(os, "pwrite", refuse)
        file.append(2, b"by the other")
    monkeypatch.delattr(os, "O_DIRECT", raising=False)
    file.append(3, b"by the other as well")

    assert [record for _, record in found(file.path)] == [b"by either", b"by the other", b"by the other as well"]


def test_a_disk_without_room_is_said_and_left_as_it_was(file: Journal) -> None:
    """Without anything to be taken back, which would need room as well."""
    file.append(1, b"one")
    with no_file_grows_beyond(file._tail.place):  # noqa: SLF001 - from there on
        with pytest.raises(StorageFull):
            file.append(2, b"two")
        file.take_back(1)

    file.append(3, b"three")
    assert found(file.path) == [(1, b"one"), (3, b"three")]


def test_a_journal_that_gets_no_room_grows_with_its_records(tmp_path: Path) -> None:
    """A disk that is nearly full is not filled up for it."""
    with closing(Journal(tmp_path / "journal")) as file:
        with no_file_grows_beyond(2 * BLOCK):
            file.begin(LIFE_ONE)
            file.append(1, b"one")
            with pytest.raises(StorageFull):
                file.append(2, b"two")
        assert file.path.stat().st_size <= 2 * BLOCK
        assert found(file.path) == [(1, b"one")]


def test_a_new_life_forgets_the_one_before(file: Journal) -> None:
    """Although its records are there yet, also where they follow upon new ones."""
    for number in range(1, 5):
        file.append(number, b"of the first")
    with closing(Journal(file.path)) as again:
        again.begin(LIFE_TWO)
        assert found(file.path, LIFE_TWO) == []
        again.append(1, b"other bytes.")
        assert found(file.path, LIFE_TWO) == [(1, b"other bytes.")]

    with pytest.raises(Unreadable, match="not the one that was here"):
        found(file.path)


def test_a_change_anywhere_before_the_last_record_is_seen(file: Journal) -> None:
    """Unlike the end of the last record, which nobody was promised, it is no crash's doing."""
    for number in range(1, 7):
        file.append(number, b"record %d" % number * 100)
        file.settle(number - 3)
    content = file.path.read_bytes()
    assert [number for number, _ in found(file.path, applied=2)] == [3, 4, 5, 6]

    for number in (3, 4, 5):
        for harm in (_changed, _blanked, _with_another_size):
            file.path.write_bytes(harm(content, number))
            with pytest.raises(Unreadable, match=f"record {number} of its journal was changed"):
                found(file.path, applied=2)
            assert len(found(file.path, applied=number)) == 6 - number
    file.path.write_bytes(_changed(_changed(content, 4), 5))
    with pytest.raises(Unreadable, match="record 5 of its journal was changed"):
        found(file.path, applied=2)
    file.path.write_bytes(_changed(content, 6))
    assert [number for number, _ in found(file.path, applied=2)] == [3, 4, 5]


def _changed(content: bytes, number: int) -> bytes:
    """One of its bytes is another."""
    return content.replace(b"record %d" % number, b"harmed %d" % number, 1)


def _blanked(content: bytes, number: int) -> bytes:
    """The block is full of zeros."""
    at = content.index(b"record %d" % number) // BLOCK * BLOCK
    return content[:at] + bytes(BLOCK) + content[at + BLOCK :]


def _with_another_size(content: bytes, number: int) -> bytes:
    """Its length is one that no file has."""
    at = content.index(b"record %d" % number) - 4
    return content[:at] + b"\xff" * 4 + content[at + 4 :]


@given(st.lists(st.integers(1, 9000), min_size=1, max_size=12), st.integers(1, 3 * BLOCK), st.data())
@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_blocks_of_the_last_record_reach_the_disk_in_any_order(
    tmp_path: Path, sizes: list[int], last: int, data: st.DataObject
) -> None:
    """A power failure while it is written leaves any of them as they were: no false alarm, and nothing else is lost."""
    path = tmp_path / "journal"
    path.unlink(missing_ok=True)
    with closing(Journal(path)) as made:
        made.begin(LIFE_ONE)
        settled = 0
        for number, size in enumerate(sizes, 1):
            if not made.takes(size):
                settled = number - 1
                made.settle(settled)
            made.append(number, bytes([number]) * size)
        if not made.takes(last):
            settled = len(sizes)
            made.settle(settled)
        before = path.read_bytes()
        made.append(len(sizes) + 1, b"l" * last)
    after = path.read_bytes()
    written = [at for at in range(0, len(after), BLOCK) if after[at : at + BLOCK] != before[at : at + BLOCK]]
    stayed = data.draw(st.sets(st.sampled_from(written), min_size=1))
    left = bytearray(after)
    for at in stayed:
        left[at : at + BLOCK] = before[at : at + BLOCK]
    path.write_bytes(left)

    numbers = [number for number, _ in found(path, applied=settled)]
    assert numbers == [number for number in range(1, len(sizes) + 1) if number > settled]


def test_the_disk_is_quick_after_a_while_and_until_it_is_not(file: Journal, monkeypatch: pytest.MonkeyPatch) -> None:
    """One slow record is enough."""
    monkeypatch.setattr(journal, "QUICK", 60.0)
    for number in range(1, journal.QUICK_IN_A_ROW + 1):
        assert not file.is_quick
        file.append(number, b"x")
    assert file.is_quick

    monkeypatch.setattr(journal, "QUICK", 0.0)
    file.append(journal.QUICK_IN_A_ROW + 1, b"x")
    assert not file.is_quick


def test_it_is_its_owners_alone(file: Journal) -> None:
    """What callers sent is nobody else's to read."""
    assert file.path.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("room", [1, 2, 3, 4, 5, 6, 7])
def test_a_record_that_is_refused_is_not_there_whatever_of_its_last_block_is(room: int, file: Journal) -> None:
    """A disk may take all of a record and not the rest of its block: then it is there, and promised."""
    with no_file_grows_beyond(BLOCK + room * BLOCK // 8):
        try:
            file.append(1, b"r" * (BLOCK // 2))
            promised = [(1, b"r" * (BLOCK // 2))]
        except StorageFull:
            promised = []

    assert found(file.path) == promised
