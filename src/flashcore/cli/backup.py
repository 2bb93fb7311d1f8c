"""`flashcore server backup` and `flashcore server restore`."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import click

import flashcore
from flashcore.cli import output
from flashcore.cli.common import Invocation, command
from flashcore.cli.connecting import connect_running
from flashcore.control.store.backup import Backup, dump, parse, require_older, restore
from flashcore.model.errors import FlashcoreError, NotFound, Refused
from flashcore.server.daemon import as_storage_error, running_gateway, running_server
from flashcore.settings import Project


@click.command("backup")
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
@command
def backup(invocation: Invocation, file: Path) -> None:
    """Write the state to FILE: endpoints, revisions, replicas, tokens and the log of events; also while it is used.

    Jobs and artifacts are not in it: what begins with jobs.db, and the folder of artifacts, are files to copy.
    """
    project = invocation.project()
    if running_server(project) is not None:
        lines = list(connect_running(project).lines("/api/v1/server/backup", timeout=120.0))
    else:
        lines = asyncio.run(_dump(project))
    made = parse(lines)
    _write_whole(file, lines)
    if invocation.as_json:
        output.show_json({"file": str(file), "keys": len(made.values), "at": made.header.at})
    else:
        output.say(f"{file}: {len(made.values)} keys as of revision {made.header.revision}")


@click.command("restore")
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
@click.option("--force", is_flag=True, help="Also over a state that has changed since the backup was made.")
@command
def restore_state(invocation: Invocation, file: Path, force: bool) -> None:  # noqa: FBT001 - click names it
    """Put the backup in FILE in the place of the state. Refused while the platform runs."""
    project = invocation.project()
    _require_stopped(project)
    kept = _read(file)
    keys = asyncio.run(_restore(project, kept, force=force))
    if invocation.as_json:
        output.show_json({"file": str(file), "keys": keys})
    else:
        output.say(f"restored {keys} keys; start with them: flashcore server start")


async def _dump(project: Project) -> list[str]:
    from flashcore.composition import open_state  # only without a control plane: it brings in every contract

    async with open_state(project) as state:
        return await dump(state, project.settings.scope, flashcore.__version__)


async def _restore(project: Project, kept: Backup, *, force: bool) -> int:
    from flashcore.composition import open_state  # as above

    async with open_state(project) as state:
        if not force:
            await require_older(state, project.settings.scope, kept)
        return await restore(state, project.settings.scope, kept)


def _require_stopped(project: Project) -> None:
    for what, running in (("control plane", running_server(project)), ("gateway", running_gateway(project))):
        if running is not None:
            raise Refused(
                f"the {what} of {project.settings.app}/{project.settings.environment} runs (process {running.pid})",
                next_step="stop it first: flashcore server stop",
            )


def _read(file: Path) -> Backup:
    try:
        return parse(file.read_text(encoding="utf-8").splitlines())
    except FileNotFoundError:
        raise NotFound(f"there is no file {file}", next_step="check the name") from None
    except UnicodeDecodeError as problem:
        raise FlashcoreError(f"{file} is no backup: it is not text", next_step="give another file") from problem


def _write_whole(file: Path, lines: list[str]) -> None:
    """The file is there as a whole or not at all; it holds digests of tokens, and is its owner's alone."""
    draft = file.with_name(f"{file.name}.{os.getpid()}")
    try:
        descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8") as stream:
            stream.write("".join(f"{line}\n" for line in lines))
            stream.flush()
            os.fsync(stream.fileno())
        draft.replace(file)
    except OSError as error:
        draft.unlink(missing_ok=True)
        raise as_storage_error(error, file) from error
