"""Numbered migrations, and refusal of what this version cannot read.

A database says in its header whose it is (application_id) and which migration it has (user_version). Both are read
from the file's first bytes before SQLite opens it, so that what is refused is not touched. That works since the
schema is only ever changed outside WAL mode: the header in the main file is then the true one.
"""

from __future__ import annotations

import contextlib
import sqlite3
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

from flashcore.builtin.sqlite.faults import damaged, garbled, refused
from flashcore.model.errors import StateTooNew

_MAGIC = b"SQLite format 3\x00"
_HEADER = 100
_USER_VERSION, _APPLICATION_ID = 60, 68
_QUICK_TO_CHECK = 64 << 20
"""Databases of up to so many bytes are checked as a whole when they are opened."""


@dataclass(frozen=True, slots=True)
class Schema:
    """A family of databases: the folder of its migrations, and the number by which its files are known."""

    name: str
    application_id: int

    def migrations(self) -> tuple[str, ...]:
        """The SQL of each migration, in order: files `0001_name.sql`, `0002_name.sql` ..."""
        folder = files("flashcore.builtin.sqlite") / "migrations" / self.name
        scripts = sorted((file for file in folder.iterdir() if file.name.endswith(".sql")), key=lambda file: file.name)
        return tuple(script.read_text(encoding="utf-8") for script in scripts)


def inspect(path: Path, schema: Schema) -> None:
    """Refuse a file that is not an empty or readable database of this schema, without changing it.

    Raises StateTooNew or StateCorrupt. The caller holds the lock: closing the file here would undo the locks of a
    connection of this process.
    """
    with path.open("rb") as file:
        header = file.read(_HEADER)
    if not header or path.with_name(f"{path.name}-journal").exists():
        return  # new, or killed in the middle of a migration, which SQLite undoes when it opens the file
    if len(header) < _HEADER or not header.startswith(_MAGIC):
        raise damaged(path, "it is no SQLite database")
    if _number(header, _APPLICATION_ID) != schema.application_id:
        raise damaged(path, f"it is a database of something else than flashcore's {schema.name}")
    _require_known(path, schema, _number(header, _USER_VERSION))
    if path.stat().st_size <= _QUICK_TO_CHECK:
        _check(path)


def migrate(connection: sqlite3.Connection, path: Path, schema: Schema) -> None:
    """Bring a database to the newest schema, one transaction for each step. Raises StateTooNew."""
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    _require_known(path, schema, version)
    scripts = schema.migrations()
    if version == len(scripts):
        return
    connection.execute("PRAGMA journal_mode = DELETE")
    for number, script in enumerate(scripts[version:], version + 1):
        connection.executescript(
            f"BEGIN IMMEDIATE;\n{script};\n"
            f"PRAGMA application_id = {schema.application_id};\nPRAGMA user_version = {number};\nCOMMIT;"
        )


def _require_known(path: Path, schema: Schema, version: int) -> None:
    known = len(schema.migrations())
    if version > known:
        raise StateTooNew(
            f"{path} has schema {version} of flashcore's {schema.name}; this flashcore knows schema {known}",
            next_step="run the flashcore that wrote it, or a newer one; the file was left as it is",
            path=str(path),
            version=version,
        )


def _check(path: Path) -> None:
    # Read only: a connection that could write would bring the write-ahead log into a damaged file when it closes.
    log = path.with_name(f"{path.name}-wal")
    mode = "mode=ro" if log.exists() and log.stat().st_size else "mode=ro&immutable=1"
    try:
        with contextlib.closing(sqlite3.connect(f"{path.as_uri()}?{mode}", uri=True)) as connection:
            (found,) = connection.execute("PRAGMA quick_check(1)").fetchone()
    except sqlite3.DatabaseError as problem:
        raise refused(problem, path) from problem
    except UnicodeDecodeError as problem:
        raise garbled(path) from problem
    if found != "ok":
        raise damaged(path, str(found).strip())


def _number(header: bytes, offset: int) -> int:
    return int.from_bytes(header[offset : offset + 4], "big")
