"""What the machine has is given out once, whatever is asked and given back in whatever order."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flashcore.builtin.process.ledger import Ledger, Need, NotEnough, Share, need_of, read_memory
from flashcore.model.declaration import Template
from flashcore.model.errors import InvalidDeclaration
from flashcore.model.names import ReplicaId

CPUS, GPUS, MEMORY = 4.0, 3, 1000
REPLICAS = st.sampled_from([ReplicaId(f"e-{number}") for number in range(6)])
NEEDS = st.builds(
    Need, st.sampled_from([0.0, 0.1, 0.7, 1.0, 2.5, 4.0, 5.0]), st.integers(0, GPUS + 1), st.integers(0, MEMORY + 100)
)
TAKES = st.tuples(REPLICAS, NEEDS)
GIVES = st.tuples(REPLICAS, st.none())


def adds_up(ledger: Ledger) -> bool:
    """Whether nothing is given out twice."""
    shares = ledger.shares.values()
    gpus = [gpu for share in shares for gpu in share.gpus]
    return (
        sum(share.cpus for share in shares) <= CPUS + 1e-6
        and sum(share.memory for share in shares) <= MEMORY
        and len(gpus) == len(set(gpus))
        and set(gpus) <= set(range(GPUS))
    )


@given(st.lists(TAKES | GIVES, max_size=40))
def test_nothing_is_ever_given_out_twice(steps: list[tuple[ReplicaId, Need | None]]) -> None:
    """Whatever is taken and given back: it is never more than there is, and a refusal changes nothing."""
    ledger = Ledger(CPUS, GPUS, MEMORY)
    for replica, need in steps:
        before = dict(ledger.shares)
        if need is None or replica in before:
            ledger.give_back(replica)
            continue
        try:
            share = ledger.take(replica, need)
        except NotEnough:
            assert ledger.shares == before
        else:
            assert (share.cpus, len(share.gpus), share.memory) == (need.cpus, need.gpus, need.memory)
        assert adds_up(ledger)


@given(st.lists(TAKES, max_size=20))
def test_what_comes_back_can_be_given_again(steps: list[tuple[ReplicaId, Need]]) -> None:
    """When nobody has anything, everything is there."""
    ledger = Ledger(CPUS, GPUS, MEMORY)
    for replica, need in steps:
        try:
            ledger.take(replica, need)
        except NotEnough:
            continue
    for replica in tuple(ledger.shares):
        ledger.give_back(replica)

    assert ledger.take(ReplicaId("all"), Need(CPUS, GPUS, MEMORY)) == Share(CPUS, (0, 1, 2), MEMORY)


@given(st.lists(st.tuples(REPLICAS, st.floats(0, 10), st.integers(0, 5000)), max_size=6), NEEDS)
def test_more_than_there_is_was_found_running(found: list[tuple[ReplicaId, float, int]], need: Need) -> None:
    """A machine that has shrunk since: what runs is counted, and new ones wait until there is room."""
    ledger = Ledger(CPUS, GPUS, MEMORY)
    for replica, cpus, memory in found:
        ledger.note(replica, Share(cpus, (), memory))
    used = sum(share.memory for share in ledger.shares.values())

    if need.memory and used + need.memory > MEMORY:
        with pytest.raises(NotEnough):
            ledger.take(ReplicaId("new"), need)


def test_the_ledger_gives_and_takes_back() -> None:
    """What is not declared costs nothing; what comes back can be given again."""
    ledger = Ledger(cpus=1, gpus=2)
    one, two, three = (ReplicaId(f"e-{number}") for number in range(3))

    assert ledger.take(one, Need()) == Share()
    assert ledger.take(two, Need(1.0, 2)) == Share(1.0, (0, 1))
    with pytest.raises(NotEnough, match="0 of 2 free"):
        ledger.take(three, Need(gpus=1))
    ledger.give_back(two)
    assert ledger.take(three, Need(0.1, 1)).gpus == (0,)


def test_tenths_of_cpus_add_up() -> None:
    """Ten tenths are one, whatever floating point makes of it."""
    ledger = Ledger(cpus=1, gpus=0)

    for number in range(10):
        ledger.take(ReplicaId(f"e-{number}"), need_of(Template(cpu=0.1)))


def test_gpus_of_the_machine_are_those_that_may_be_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    """A control plane that was given two of eight gives out those two."""
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "5,7")

    assert Ledger(cpus=1).take(ReplicaId("e-1"), Need(gpus=2)).gpus == (5, 7)


@pytest.mark.parametrize(
    ("text", "size"),
    [("512Mi", 2**29), ("4Gi", 2**32), ("2G", 2 * 10**9), ("1.5GiB", 3 * 2**29), ("64 kB", 64_000), ("100", 100)],
)
def test_memory_is_read_in_the_usual_spellings(text: str, size: int) -> None:
    """Powers of two and of ten, with or without the B."""
    assert read_memory(text) == size


@pytest.mark.parametrize("text", ["", "lots", "-1Gi", "4 Gigs", "1e9"])
def test_what_is_no_amount_of_memory_is_refused(text: str) -> None:
    """The message says how to write it."""
    with pytest.raises(InvalidDeclaration, match="no amount of memory") as refused:
        read_memory(text)

    assert "512Mi" in str(refused.value)


def test_this_machine_has_memory() -> None:
    """Without a setting it is the machine's: something fits, and not everything."""
    ledger = Ledger(cpus=1)

    ledger.take(ReplicaId("e-1"), Need(memory=2**20))
    with pytest.raises(NotEnough, match="GiB free"):
        ledger.take(ReplicaId("e-2"), Need(memory=2**60))


@pytest.mark.parametrize(
    ("need", "count", "said"),
    [
        (Need(cpus=0.5), 4, ""),
        (Need(cpus=0.5), 5, "5 replicas need 2.5 CPUs, and this machine has 2"),
        (Need(gpus=1), 2, "2 replicas need 2 GPUs, and this machine has 1"),
        (Need(memory=2**30), 1000, "1000 replicas need 1e+03 GiB, and this machine has 4 GiB"),
        (Need(), 40, ""),
        (Need(), 1000, "1000 replicas take about 100 MiB each, 97.7 GiB, and this machine has 4 GiB"),
    ],
)
def test_more_replicas_than_the_machine_has_room_for_are_doubted(need: Need, count: int, said: str) -> None:
    """With numbers: of what is declared, or else of what one of them takes."""
    ledger = Ledger(cpus=2, gpus=1, memory=4 * 2**30)

    assert ledger.doubt(need, count, 100 * 2**20) == said
