"""Random operations against the memory state and the SQLite state, which must agree at every step."""

import asyncio
import contextlib
import tempfile
from pathlib import Path

import hypothesis.strategies as st
from hypothesis import settings
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from flashcore.builtin.memory_state import MemoryStores
from flashcore.builtin.sqlite_state import SqliteStores
from flashcore.hookspecs.state import Batch, Check, Page, Put, StaleWrite, StateBackend, Transaction

KEYS = st.sampled_from([f"{folder}/{name}" for folder in ("a", "ab", "b") for name in ("1", "2", "3")])
PREFIXES = st.sampled_from(["", "a", "a/", "ab/", "b/2", "c"])


class StateMachine(RuleBasedStateMachine):
    """One sequence of operations, on both."""

    def __init__(self) -> None:
        super().__init__()
        self.runner = asyncio.Runner()
        self.folder = tempfile.TemporaryDirectory()
        self.url = f"sqlite:///{Path(self.folder.name) / 'state.db'}"
        self.memory: StateBackend = self.runner.run(MemoryStores().open_state("memory:"))
        self.sqlite: StateBackend = self.runner.run(SqliteStores().open_state(self.url))
        self.versions: dict[str, int] = {}
        self.revision = 0
        self.log: list[tuple[int, set[str]]] = []

    @rule(puts=st.dictionaries(KEYS, st.binary(max_size=20), max_size=3), deletes=st.sets(KEYS, max_size=2))
    def commit(self, puts: dict[str, bytes], deletes: set[str]) -> None:
        """Write without looking."""
        self._commit(Transaction((), _puts(puts), tuple(sorted(deletes - puts.keys()))))

    @rule(key=KEYS, value=st.binary(max_size=5), seen=st.booleans(), guess=st.integers(0, 30))
    def compare_and_set(self, key: str, value: bytes, *, seen: bool, guess: int) -> None:
        """Write what was seen, or what is a guess."""
        version = self.versions.get(key, 0) if seen else guess
        self._commit(Transaction((Check(key, version),), (Put(key, value),)))

    @rule(key=KEYS, version=st.integers(0, 30))
    def check(self, key: str, version: int) -> None:
        """Look only."""
        self._commit(Transaction((Check(key, version),)))

    @rule(prefix=PREFIXES, after=st.one_of(st.just(""), KEYS), limit=st.integers(1, 10), back=st.integers(0, 10))
    def read(self, prefix: str, after: str, limit: int, back: int) -> None:
        """Read a page as of some revision."""
        at = max(0, self.revision - back)
        one, two = (self._read(store, prefix, after, limit, at) for store in (self.memory, self.sqlite))
        assert one == two

    @rule(prefix=PREFIXES, back=st.integers(0, 10))
    def watch(self, prefix: str, back: int) -> None:
        """Watch what happened after some revision."""
        after = max(0, self.revision - back)
        count = sum(revision > after and any(under(keys, prefix)) for revision, keys in self.log)
        one, two = (self.runner.run(_told(store, prefix, after, count)) for store in (self.memory, self.sqlite))
        assert one == two

    @rule()
    def reopen(self) -> None:
        """The SQLite state is closed and opened."""
        self.runner.run(self.sqlite.close())
        self.sqlite = self.runner.run(SqliteStores().open_state(self.url))

    @invariant()
    def listings_agree(self) -> None:
        """Both hold the same."""
        one, two = (self._read(store, "", "", 100, self.revision) for store in (self.memory, self.sqlite))
        assert one == two
        self.versions = {entry.key: entry.version for entry in one.entries}

    def teardown(self) -> None:
        """Nothing is left."""
        for store in (self.memory, self.sqlite):
            self.runner.run(store.close())
        self.runner.close()
        self.folder.cleanup()

    def _commit(self, transaction: Transaction) -> None:
        one, two = (self.runner.run(_answer(store, transaction)) for store in (self.memory, self.sqlite))
        assert one == two
        if isinstance(one, int) and transaction.writes:
            self.revision = one
            self.log.append((one, {put.key for put in transaction.puts} | set(transaction.deletes)))

    def _read(self, store: StateBackend, prefix: str, after: str, limit: int, at: int) -> Page:
        return self.runner.run(store.read(prefix, after=after, limit=limit, at=at))


async def _answer(store: StateBackend, transaction: Transaction) -> int | str:
    try:
        return await store.commit(transaction)
    except StaleWrite as refusal:
        return str(refusal)


async def _told(store: StateBackend, prefix: str, after: int, count: int) -> list[Batch]:
    """The next so many batches."""
    async with asyncio.timeout(60), contextlib.aclosing(store.watch(prefix, after)) as batches:
        return [await anext(batches) for _ in range(count)]


def under(keys: set[str], prefix: str) -> list[bool]:
    """Which of these keys are under a prefix."""
    return [key.startswith(prefix) for key in keys]


def _puts(values: dict[str, bytes]) -> tuple[Put, ...]:
    return tuple(Put(key, value) for key, value in sorted(values.items()))


TestStateMachine = StateMachine.TestCase
TestStateMachine.settings = settings(max_examples=15, stateful_step_count=30, deadline=None)
