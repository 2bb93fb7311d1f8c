"""`python -m flashcore.server`: the control plane of one environment."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import errno
import json
import logging
import os
import shutil
import signal
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import uvicorn
from fastapi import FastAPI

import flashcore
from flashcore.composition import Platform, open_platform
from flashcore.gateway.descriptors import complain_seldom
from flashcore.model.errors import FlashcoreError, StorageFull
from flashcore.presence import Presence, own_presence, remove_presence, write_presence
from flashcore.server.app import create_app
from flashcore.server.bell import Bell
from flashcore.server.beside import beside
from flashcore.server.daemon import make_private, make_socket_folder
from flashcore.server.farewell import say_farewell
from flashcore.server.gateways import GatewayKeeper
from flashcore.server.listening import Door, doors, listen
from flashcore.server.mothership import Mothership, at_work
from flashcore.server.shutdown import Shutdown
from flashcore.server.token import create_token
from flashcore.server.upkeep import Upkeep
from flashcore.settings import Project, open_project

log = logging.getLogger(__name__)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run until told to end; the exit status is 1 when it could not start."""
    options = _parse(arguments)
    logging.basicConfig(
        level=os.environ.get("FLASHCORE_LOG_LEVEL", "INFO"), format="%(asctime)s %(levelname)s %(name)s %(message)s"
    )
    try:
        project = open_project(options.project, flags={"environment": options.env})
        asyncio.run(_serve(project, options.ready_fd))
    except FlashcoreError as error:
        log.error("%s", error)
        _report(options.ready_fd, {"error": error.as_json()})
        return 1
    except Exception as error:
        log.exception("the control plane failed")
        _report(options.ready_fd, {"error": accident(error, options.project).as_json()})
        return 1
    return 0


def accident(error: Exception, place: Path) -> FlashcoreError:
    """What is said of a control plane that could not go on: whether it lacked room, other means, or has a mistake."""
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
        full = f"the control plane cannot go on: there is no room to write {error.filename or place}"
        return StorageFull(full, next_step="make room, then start it again")
    if isinstance(error, MemoryError | BlockingIOError) or str(error) == "can't start new thread":
        step = "raise what this user may have (ulimit -u, ulimit -v, the limits of a container), or end something"
        return FlashcoreError(f"the control plane cannot go on: the system gives it no more: {error!r}", next_step=step)
    said = f"{type(error).__name__}: {error}"  # where a file is to blame, repr leaves it out
    return FlashcoreError(f"the control plane failed: {said}", next_step="its log has the traceback")


async def _serve(project: Project, ready_fd: int | None) -> None:
    complain_seldom(asyncio.get_running_loop())
    opened = doors(project)
    make_private(project.layout.home)
    make_private(project.layout.logs)
    make_socket_folder(project.layout)
    token = create_token(project.layout.token)
    create_token(project.layout.call_key)
    create_token(project.layout.hop_key)
    ending: asyncio.Future[Shutdown] = asyncio.get_running_loop().create_future()

    def stop(way: Shutdown) -> None:
        if not ending.done():
            ending.set_result(way)

    _on_signals(stop)
    bell = Bell()
    async with open_platform(project, lambda _: bell.ring()) as platform:
        keeper = GatewayKeeper(project)
        async with AsyncExitStack() as started:
            await keeper.start()
            # What was started for nothing is ended again when the rest of the start fails.
            started.push_async_callback(keeper.abandon)
            started.push_async_callback(platform.controller.close)
            await platform.controller.start()
            # Nobody else of this environment leads: what is there was on its way to one that was killed.
            await asyncio.to_thread(shutil.rmtree, project.layout.uploads, ignore_errors=True)
            mothership = Mothership(platform)
            async with (
                _api(create_app(platform, keeper, bell, token, stop, mothership), project, opened) as own,
                beside(Upkeep(project.layout, own, keeper, token, stop).run, "upkeep of files"),
                at_work(mothership),
            ):
                _report(ready_fd, {"ready": True})
                started.pop_all()
                way = await _until_ended(ending, platform)
                log.info("ending: %s", way.value)
                if way is Shutdown.EVERYTHING:
                    await _quiesce(platform, keeper)
        await (_end_everything(platform, keeper) if way is Shutdown.EVERYTHING else take_down(platform, keeper, way))


async def _until_ended(ending: asyncio.Future[Shutdown], platform: Platform) -> Shutdown:
    """How this process is to end: as it was told, or because another one leads now."""
    lost = platform.controller.lost
    either: set[asyncio.Future[Any]] = {ending, lost}
    await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
    if ending.done():
        return ending.result()
    log.error("this control plane leads no more: %s", lost.result())
    return Shutdown.KEEP_SERVING


async def _quiesce(platform: Platform, keeper: GatewayKeeper) -> None:
    """Have what was accepted answered, by replicas that are all there, before any of them ends."""
    await keeper.begin_stop()
    grace = platform.project.settings.gateway_grace
    # Those that were replaced have nothing to be quiet about: they end.
    left, _ = await asyncio.gather(platform.dataplane.quiesce(grace), keeper.end_retired(grace))
    if left:
        log.warning("%d requests are still under way; their replicas have their own grace for them", left)


async def _end_everything(platform: Platform, keeper: GatewayKeeper) -> None:
    """Take all of it down, and leave word of how that went: who waits for it sees no more than the end."""
    layout = platform.project.layout
    try:
        await take_down(platform, keeper, Shutdown.EVERYTHING)
    except FlashcoreError as problem:
        say_farewell(layout, problem)
        raise
    except Exception as accident:
        say_farewell(layout, FlashcoreError(f"not everything ended: {accident!r}", next_step="its log has more"))
        raise
    say_farewell(layout, None)


async def take_down(platform: Platform, keeper: GatewayKeeper, way: Shutdown) -> None:
    """End what is to end. Replicas go before the gateway: what they still work on is answered through it."""
    try:
        if way is Shutdown.EVERYTHING:
            await platform.controller.stop_replicas()
    finally:  # a replica that does not end keeps nothing else
        await platform.controller.close()
        await (_stop_gateway(platform.project, keeper) if way is Shutdown.EVERYTHING else keeper.let_go())


async def _stop_gateway(project: Project, keeper: GatewayKeeper) -> None:
    await keeper.stop(project.settings.gateway_grace)
    # Sockets may lie outside of the project; with nobody left to use their folder it is not left behind.
    with contextlib.suppress(OSError):
        project.layout.run.rmdir()


class _Server(uvicorn.Server):
    """uvicorn inside a process that has its own mind about signals."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave the signals alone."""
        yield


@asynccontextmanager
async def _api(app: FastAPI, project: Project, opened: Sequence[Door]) -> AsyncIterator[Presence]:
    """The control API, listening, with its address written where commands look for it; gives that address."""
    async with AsyncExitStack() as serving:
        # One after the other: the door of this machine comes last, and takes the next port where they meet.
        urls = [await serving.enter_async_context(_served(app, door, project.settings.ports.api)) for door in opened]
        own = own_presence(urls[-1], flashcore.__version__)
        write_presence(project.layout.server_file, own)
        try:
            yield own
        finally:
            remove_presence(project.layout.server_file)


@asynccontextmanager
async def _served(app: FastAPI, door: Door, port: int) -> AsyncIterator[str]:
    """The API behind one door; gives its URL."""
    listener = listen(door.host, port)
    config = uvicorn.Config(app, log_config=None, access_log=False, timeout_graceful_shutdown=2, lifespan="off")
    config.load()
    config.ssl = door.tls
    server = _Server(config)
    serving = asyncio.create_task(server.serve(sockets=[listener]), name=f"control API at {door.host}")
    while not server.started:
        if serving.done():
            serving.result()
        await asyncio.sleep(0.01)
    shown = f"[{door.host}]" if ":" in door.host else door.host
    url = f"{'http' if door.tls is None else 'https'}://{shown}:{listener.getsockname()[1]}"
    log.info("control API at %s", url)
    try:
        yield url
    finally:
        server.should_exit = True
        await serving


def _on_signals(stop: Callable[[Shutdown], None]) -> None:
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGTERM, stop, Shutdown.KEEP_SERVING)
    loop.add_signal_handler(signal.SIGINT, stop, Shutdown.EVERYTHING)


def _report(descriptor: int | None, said: object) -> None:
    """Tell the process that waits for the start; nobody may be listening any more."""
    if descriptor is None:
        return
    with contextlib.suppress(OSError):
        os.write(descriptor, json.dumps(said).encode())
    with contextlib.suppress(OSError):
        os.close(descriptor)


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m flashcore.server", description=__doc__)
    parser.add_argument("--project", type=Path, required=True, help="the project's folder")
    parser.add_argument("--env", help="the environment")
    parser.add_argument("--ready-fd", type=int, help="where to say that it is ready, or why not")
    # Options about plugins stand on this line too; they are read by whoever loads plugins.
    return parser.parse_known_args(arguments)[0]
