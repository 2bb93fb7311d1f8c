"""One session: the platform and its gateway in this process, for as long as somebody works on the project."""

from __future__ import annotations

import asyncio
import errno
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, aclosing, asynccontextmanager
from urllib.parse import urlsplit

import flashcore
from flashcore.composition import Platform, open_platform
from flashcore.control.controller import Controller
from flashcore.dev.calls import SeenFront, seen_jobs
from flashcore.dev.execute import PATH, Execute
from flashcore.dev.local import Where
from flashcore.dev.output import Output
from flashcore.dev.place import DevProject
from flashcore.dev.reading import Reader
from flashcore.dev.reload import Reloader
from flashcore.dev.tables import Tables
from flashcore.dev.told import Noted, Started, Tell
from flashcore.dev.waiting import tell_what_is_waited_for
from flashcore.dev.watch import changes
from flashcore.gateway.assembly import Gateway
from flashcore.gateway.http.route import Dispatcher, Local
from flashcore.gateway.security import Security
from flashcore.gateway.settings import Settings as GatewaySettings
from flashcore.hookspecs.jobs import JobStore
from flashcore.model.errors import FlashcoreError, Refused
from flashcore.model.events import Event
from flashcore.model.names import EndpointName
from flashcore.model.parts import PartRef
from flashcore.presence import own_presence, write_presence
from flashcore.server.daemon import make_private, make_socket_folder
from flashcore.server.token import create_token
from flashcore.wire.seal import SigningKey

PORTS_TRIED = 100
GONE_WITHIN = 60.0
"""Seconds that a provider elsewhere has to confirm the end of an endpoint."""

_READ_ONCE = ("flashcore.toml", "pyproject.toml", "flashcore_plugins.py")
"""Files of the project's root that count at the start alone."""


class Session:
    """Lives as long as `run`."""

    def __init__(self, project: DevProject, where: Where, tell: Tell) -> None:
        self._project = project
        self._where = where
        self._tell = tell
        self._tables = Tables()
        self._output: Output | None = None

    async def run(self, stop: asyncio.Event, port: int) -> None:
        """Serve until `stop`; `port` is the first that is tried, 0 takes any. Raises what a platform's start raises."""
        layout = self._project.layout
        for folder in (layout.home, layout.logs):
            make_private(folder)
        make_socket_folder(layout)
        async with (
            open_platform(self._project, self._observe) as platform,
            _started(platform.controller),
            self._gateway(platform, port) as url,
            Output(platform.controller, layout.unpacked, self._tell) as self._output,
            self._left(platform.controller),
            Reloader(self._project, platform, self._where.adapt, self._tables, url, self._tell) as reloader,
        ):
            self._tell(Started(url, self._project.settings.environment, str(layout.token)))
            await self._until(stop, platform.controller, reloader)

    @asynccontextmanager
    async def _left(self, controller: Controller) -> AsyncIterator[None]:
        """Take down at the end what runs elsewhere; what runs here is ended by whoever clears the place away."""
        try:
            yield
        finally:
            if self._where is Where.ELSEWHERE:
                for name in controller.endpoints():
                    await self._take_down(controller, name)

    async def _take_down(self, controller: Controller, name: EndpointName) -> None:
        try:
            await controller.undeploy(name, grace=0.0)
            await controller.wait_gone(name, GONE_WITHIN)
        except FlashcoreError as error:
            self._tell(Noted(f"{name} may still run at its provider, and cost money: {error.message}"))

    async def _until(self, stop: asyncio.Event, controller: Controller, reloader: Reloader) -> None:
        following = asyncio.create_task(self._follow(reloader), name="changes of the project")
        waiting = asyncio.create_task(tell_what_is_waited_for(controller, self._tell), name="what is waited for")
        stopped = asyncio.create_task(stop.wait())
        try:
            await asyncio.wait((following, stopped, controller.lost), return_when=asyncio.FIRST_COMPLETED)
            if controller.lost.done():
                raise controller.lost.result()
            if following.done():
                following.result()
        finally:
            for task in (following, waiting, stopped):
                task.cancel()
            await asyncio.gather(following, waiting, stopped, return_exceptions=True)

    async def _follow(self, reloader: Reloader) -> None:
        async with aclosing(changes(self._project.root)) as told:
            async for changed in told:
                for name in _READ_ONCE:
                    if self._project.root / name in changed:
                        self._tell(Noted(f"{name} has changed: it is read at the start, so start flashcore dev again"))
                await reloader.load()

    def _observe(self, event: Event) -> None:
        if self._output is not None:
            self._output.observe(event)

    @asynccontextmanager
    async def _gateway(self, platform: Platform, port: int) -> AsyncIterator[str]:
        layout, host = self._project.layout, self._project.settings.host
        # It speaks no TLS and asks for no token: beyond this machine only where somebody vouches for it.
        Security(exposed=self._project.settings.exposed).check(host)
        create_token(layout.hop_key)
        reader = Reader(SigningKey(create_token(layout.call_key)))
        store = seen_jobs(await _open_jobs(platform), reader, self._tell)
        execute = Execute(self._project, create_token(layout.token), lambda: gateway.url, self._tell)

        def in_front(front: Dispatcher) -> Dispatcher:
            return SeenFront(front, {PATH: Local(execute)}, self._tell)

        settings = GatewaySettings(stop_grace=0.1)
        gateway = Gateway(layout, store, platform.registry.routing_policies, settings, in_front)
        gateway.live.on_swap(self._tables.swapped)
        async with AsyncExitStack() as stack:
            stack.push_async_callback(gateway.close)
            await gateway.start()
            gateway.url = f"http://{host}:{await _listen(gateway, host, port)}"
            # By this file the client and the commands find it: FLASHCORE_ENV=dev, --env dev.
            write_presence(layout.gateway_file, own_presence(gateway.url, flashcore.__version__))
            yield gateway.url


@asynccontextmanager
async def _started(controller: Controller) -> AsyncIterator[None]:
    """The controller at work; its replicas are left to whoever clears the environment away."""
    try:
        await controller.start()
        yield
    finally:
        await controller.close()


async def _open_jobs(platform: Platform) -> JobStore:
    url = platform.project.jobs_url
    return await platform.registry.state_backends.make(PartRef(urlsplit(url).scheme)).open_jobs(url)


async def _listen(gateway: Gateway, host: str, first: int) -> int:
    """The first port from `first` on that is free. Raises Refused when none is."""
    for port in range(first, min(first + PORTS_TRIED, 65_536)) if first else range(1):
        try:
            return await gateway.http.listen(host, port)
        except OSError as error:
            if error.errno != errno.EADDRINUSE:
                raise Refused(
                    f"nothing can listen at {host}:{port}: {error.strerror or error}", next_step="choose another --port"
                ) from error
    raise Refused(f"{PORTS_TRIED} ports from {first} on are in use on {host}", next_step="choose another --port")
