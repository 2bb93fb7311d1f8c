"""`flashcore dev`."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
from pathlib import Path

import click

from flashcore.cli.common import Invocation, command
from flashcore.cli.dev_lines import JsonLines, Lines, spoken
from flashcore.dev.local import Where
from flashcore.dev.place import own_place
from flashcore.dev.session import Session
from flashcore.model.errors import Refused
from flashcore.model.layout import find_project
from flashcore.registry.index import setting_of_process
from flashcore.registry.opening import open_registry
from flashcore.settings import read_settings

REMOTE = "remote_dev"
"""The capability of providers whose replicas can be those of a session."""


@click.command()
@click.argument("directory", type=click.Path(path_type=Path, exists=True, file_okay=False), required=False)
@click.option("--port", type=click.IntRange(0, 65_535), help="The first port to try; default: the gateway's, 8700.")
@click.option("--remote", is_flag=True, help="Run replicas at the project's provider instead of on this machine.")
@command
def dev(invocation: Invocation, directory: Path | None, port: int | None, remote: bool) -> None:  # noqa: FBT001 - click names them
    """Run the project (or DIRECTORY) here, and run it anew at each change of its code, until Ctrl-C.

    The same addresses as deployed, one replica of each endpoint, nothing kept. Calls that are under way finish on the
    old code. With --json each line of the output is a JSON document.
    """
    root = invocation.project().root if directory is None else _root_of(directory.resolve())
    provider = _remote_provider(root) if remote else None
    with own_place(root, os.environ, invocation.environment, provider) as project:
        first = project.settings.ports.gateway if port is None else port
        lines = JsonLines() if invocation.as_json else Lines(width=_width())
        with spoken(lines.tell) as tell:
            session = Session(project, Where.ELSEWHERE if remote else Where.HERE, tell)
            with contextlib.suppress(KeyboardInterrupt):
                asyncio.run(_run(session, first))


async def _run(session: Session, port: int) -> None:
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    await session.run(stop, port)


def _root_of(directory: Path) -> Path:
    """The project around a folder that was named; a folder without any project becomes one."""
    return find_project(directory) or directory


def _remote_provider(root: Path) -> str:
    """The project's provider. Raises Refused when it does not run sessions, naming those that do."""
    registry = open_registry(setting_of_process(sys.argv[1:], os.environ, root))
    with contextlib.closing(registry):
        name = read_settings(root, os.environ, {}).provider
        able = [one for one in registry.providers.names() if REMOTE in registry.providers.get(one).part.capabilities]
    if name in able:
        return name
    raise Refused(
        f"the provider {name!r} cannot run a session: --remote is for providers that run replicas elsewhere",
        next_step=f"choose {' or '.join(able)} as the provider, or leave --remote out"
        if able
        else "leave --remote out: no provider that is installed can",
        provider=name,
        able=able,
    )


def _width() -> int | None:
    """Columns of the terminal; None where the output is no terminal, and nothing is cut."""
    import shutil

    return shutil.get_terminal_size().columns if sys.stdout.isatty() else None
