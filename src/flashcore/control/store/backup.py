"""A copy of one scope of a state, as a file that any backend can take in again.

Lines of JSON: a header, one line for each key, and a footer with the number of keys and the sha256 of what is above it,
so that half a file is known as such. The lease is left out: whoever restores leads anew, and with an epoch greater than
any before, so that gateways and workers that remember another time follow.
"""

from __future__ import annotations

import base64
import dataclasses
import hashlib
import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from flashcore.control.store.epoch import Epoch
from flashcore.control.store.keys import Keys
from flashcore.hookspecs.state import Check, Compacted, Entry, Put, StateBackend, Transaction
from flashcore.model.codec import CodecError, from_json, to_json
from flashcore.model.errors import Refused, StateCorrupt, StateTooNew
from flashcore.model.names import Scope

FORMAT = 1
_PAGE = 1_000


@dataclass(frozen=True, slots=True)
class Header:
    """Whose state it is, and as of when."""

    app: str
    environment: str
    version: str
    """Of the flashcore that wrote it."""
    at: float
    """Seconds since 1970 by the store's clock."""
    revision: int
    format: int = FORMAT


@dataclass(frozen=True, slots=True)
class Backup:
    """A file's content: keys without their scope, and values."""

    header: Header
    values: tuple[tuple[str, bytes], ...]


async def dump(backend: StateBackend, scope: Scope, version: str) -> list[str]:
    """The lines of a backup: everything of the scope as of one revision, while others go on writing."""
    keys = Keys(scope)
    entries, revision = await _consistent(backend, scope.prefix)
    header = Header(scope.app, scope.environment, version, backend.now(), revision)
    lines = [_line({"flashcore_backup": to_json(header)})]
    lines += [_entry_line(scope, entry) for entry in entries if entry.key != keys.lease]
    lines.append(_line({"keys": len(lines) - 1, "sha256": _sum(lines)}))
    return lines


def parse(lines: Iterable[str]) -> Backup:
    """A backup from its lines. Raises StateTooNew for another format, StateCorrupt for what is damaged or not whole."""
    found = [line.rstrip("\n") for line in lines if line.strip()]
    if not found:
        raise _damaged("it is empty")
    try:
        header = _header(json.loads(found[0]))
        footer = json.loads(found[-1])
        if footer != {"keys": len(found) - 2, "sha256": _sum(found[:-1])}:
            raise _damaged("it is not whole, or was changed")
        values = tuple(_value(json.loads(line)) for line in found[1:-1])
    except (ValueError, KeyError, TypeError) as problem:
        raise _damaged(str(problem)) from problem
    return Backup(header, values)


async def newest_change(backend: StateBackend, scope: Scope) -> float | None:
    """When the scope's last event was written; None where it holds none."""
    entries, _ = await _consistent(backend, Keys(scope).events)
    return float(json.loads(entries[-1].value)["at"]) if entries else None


async def require_older(backend: StateBackend, scope: Scope, backup: Backup) -> None:
    """Raise Refused when the scope has changed since the backup was made: that would be lost."""
    newest = await newest_change(backend, scope)
    if newest is not None and newest > backup.header.at:
        raise Refused(
            f"the state of {scope.app}/{scope.environment} has changed since the backup was made",
            next_step="keep it with a backup of its own first, then restore with --force",
            changed_at=newest,
            backup_at=backup.header.at,
        )


async def restore(backend: StateBackend, scope: Scope, backup: Backup) -> int:
    """Put a backup in the place of everything that the scope holds, in one commit; how many keys it has now.

    Raises Refused for a backup of another app. Nobody may lead meanwhile.
    """
    if backup.header.app != scope.app:
        raise Refused(
            f"this is a backup of {backup.header.app!r}, and the project is {scope.app!r}",
            next_step="give another file",
        )
    keys = Keys(scope)
    present, _ = await _consistent(backend, scope.prefix)
    wanted = {f"{scope.prefix}{key}": value for key, value in backup.values}
    epoch = _next_epoch(backend, [*(e.value for e in present if e.key == keys.epoch), *_named(wanted, keys.epoch)])
    wanted[keys.epoch] = json.dumps(to_json(epoch), sort_keys=True).encode()
    await backend.commit(
        Transaction(
            checks=tuple(Check(entry.key, entry.version) for entry in present if entry.key in (keys.epoch, keys.lease)),
            puts=tuple(Put(key, value) for key, value in wanted.items()),
            deletes=tuple(entry.key for entry in present if entry.key not in wanted),
        )
    )
    return len(wanted)


async def _consistent(backend: StateBackend, prefix: str) -> tuple[list[Entry], int]:
    """All entries below a prefix as of one revision; begins again when that is compacted meanwhile."""
    while True:
        try:
            return await _read_at_once(backend, prefix)
        except Compacted:
            continue


async def _read_at_once(backend: StateBackend, prefix: str) -> tuple[list[Entry], int]:
    entries: list[Entry] = []
    revision: int | None = None
    more = True
    while more:
        after = entries[-1].key if entries else ""
        page = await backend.read(prefix, after=after, limit=_PAGE, at=revision)
        revision, more = page.revision, page.more
        entries += page.entries
    return entries, revision or 0


def _next_epoch(backend: StateBackend, known: Iterable[bytes]) -> Epoch:
    """The greatest of all that were ever led by, and of the second at hand; who leads next counts on from it."""
    epochs = [from_json(Epoch, json.loads(value)) for value in known]
    number = max((int(backend.now()), *(epoch.number for epoch in epochs)))
    return dataclasses.replace(epochs[-1], number=number) if epochs else Epoch(number, "restore", backend.now())


def _named(values: dict[str, bytes], key: str) -> Iterator[bytes]:
    if key in values:
        yield values[key]


def _header(line: Any) -> Header:
    known = line["flashcore_backup"]
    if known["format"] > FORMAT:
        raise StateTooNew(
            f"this backup has format {known['format']}; this flashcore knows format {FORMAT}",
            next_step=f"restore it with flashcore {known['version']} or a newer one",
        )
    try:
        return from_json(Header, known)
    except CodecError as problem:
        raise _damaged(str(problem)) from problem


def _entry_line(scope: Scope, entry: Entry) -> str:
    key = entry.key.removeprefix(scope.prefix)
    if _is_plain(entry.value):
        return _line({"key": key, "value": json.loads(entry.value)})
    return _line({"key": key, "base64": base64.b64encode(entry.value).decode("ascii")})


def _is_plain(value: bytes) -> bool:
    """Whether the value comes back byte by byte when it is written as the JSON that it is."""
    try:
        return _line(json.loads(value)).encode() == value
    except ValueError:
        return False


def _value(line: Any) -> tuple[str, bytes]:
    if "base64" in line:
        return str(line["key"]), base64.b64decode(line["base64"], validate=True)
    return str(line["key"]), _line(line["value"]).encode()


def _line(value: Any) -> str:
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def _sum(lines: Iterable[str]) -> str:
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


def _damaged(reason: str) -> StateCorrupt:
    return StateCorrupt(f"the backup cannot be read: {reason}", next_step="give another file; nothing was changed")
