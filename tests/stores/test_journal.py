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
from flashcore.model.errors import StateError, StorageFull

LIFE_ONE, LIFE_TWO = b"1" * LIFE, b"2" * LIFE
HALF = 1 << 10


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


def found(path: Path, life: bytes = LIFE_ONE) -> list[tuple[int, bytes]]:
    """What whoever opens it finds."""
    with closing(Journal(path)) as other:
        return other.records(life)


@given(
    st.lists(st.tuples(st.integers(0, 400), st.integers(0, 5)), max_size=30),
    st.integers(0, 500),
    st.binary(max_size=200),
)
@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_what_the_tables_may_lack_is_found_after_any_crash(
    tmp_path: Path, steps: list[tuple[int, int]], cut: int, torn: bytes
) -> None:
    """Every record beyond what was settled, in order, whole; whatever of the next one came to the disk."""
    path = tmp_path / "journal"
    path.unlink(missing_ok=True)
    written: list[tuple[int, bytes]] = []
    settled = 0
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
        place = made._place  # noqa: SLF001 - where the next record would go
        if made.takes(len(torn)):
            made.append(len(steps) + 1, torn)
            at = made._place - len(torn) - journal._RECORD.size  # noqa: SLF001 - where it went, perhaps into the other half
            place = at
    content = bytearray(path.read_bytes())
    content[place + cut :] = bytes(len(content[place + cut :])) if cut < len(torn) else content[place + cut :]
    path.write_bytes(content)

    left = [one for one in found(path) if one[0] > settled]
    promised = [one for one in written if one[0] > settled]
    assert left[: len(promised)] == promised
    assert left[len(promised) :] in ([], [(len(steps) + 1, torn)])


def test_there_is_no_room_before_the_tables_have_what_is_in_the_other_half(file: Journal) -> None:
    """On disk: what is only written there may be lost."""
    file.append(1, bytes(900))
    assert file.takes(900)
    assert not file.waits_for(1)
    file.append(2, bytes(900))
    assert not file.takes(900)
    assert not file.waits_for(0)
    assert file.waits_for(1)

    file.settle(1)
    assert not file.waits_for(2)
    file.append(3, b"x" * 900)
    assert found(file.path) == [(2, bytes(900)), (3, b"x" * 900)]


def test_a_record_that_is_larger_than_a_half_is_never_taken(file: Journal) -> None:
    """Nor one that fits without its head alone."""
    assert not file.takes(HALF)
    assert not file.takes(HALF - journal._RECORD.size + 1)  # noqa: SLF001 - its head
    assert file.takes(HALF - journal._RECORD.size)  # noqa: SLF001 - its head


@pytest.mark.parametrize("written", [False, True], ids=["cut off", "whole"])
def test_what_could_not_be_synced_is_taken_back(
    written: bool,  # noqa: FBT001 - one of the two cases
    file: Journal,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Its caller hears that it is not there, and it is not; what comes next takes its place."""
    file.append(1, b"one")
    with monkeypatch.context() as patched:
        if written:
            patched.setattr(journal, "_sync", _fail)
        else:
            patched.setattr(os, "pwrite", lambda *to, write=os.pwrite: write(to[0], to[1][:-1], to[2]))
        with pytest.raises((StateError, StorageFull), match="journal"):
            file.append(2, b"two")
    if written:
        assert found(file.path) == [(1, b"one"), (2, b"two")]

    file.take_back()
    assert found(file.path) == [(1, b"one")]
    file.append(3, b"three")
    assert found(file.path) == [(1, b"one"), (3, b"three")]


def _fail(_: int) -> None:
    raise OSError(errno.EIO, "the disk fails")


def test_a_disk_without_room_is_said_and_left_as_it_was(file: Journal) -> None:
    """Without anything to be taken back, which would need room as well."""
    file.append(1, b"one")
    with no_file_grows_beyond(file._place):  # noqa: SLF001 - from there on
        with pytest.raises(StorageFull):
            file.append(2, b"two")
        file.take_back()

    file.append(3, b"three")
    assert found(file.path) == [(1, b"one"), (3, b"three")]


def test_a_journal_that_gets_no_room_grows_with_its_records(tmp_path: Path) -> None:
    """A disk that is nearly full is not filled up for it."""
    with closing(Journal(tmp_path / "journal")) as file:
        with no_file_grows_beyond(4200):
            file.begin(LIFE_ONE)
            file.append(1, b"one")
        assert file.path.stat().st_size < 4200
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


def test_a_change_in_the_middle_is_seen(file: Journal) -> None:
    """Unlike the end of the last record, which nobody was promised, it is no crash's doing."""
    for number in range(1, 4):
        file.append(number, b"record %d" % number)
    content = file.path.read_bytes()

    for number in (1, 2):
        file.path.write_bytes(content.replace(b"record %d" % number, b"harmed %d" % number))
        with pytest.raises(Unreadable, match=f"record {number} of its journal was changed"):
            found(file.path)
    file.path.write_bytes(content.replace(b"record 3", b"harmed 3"))
    assert [number for number, _ in found(file.path)] == [1, 2]


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
