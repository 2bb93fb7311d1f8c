"""One gateway's parts, wired together: what a process runs, and what a test can run inside its own."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import secrets
from asyncio import AbstractServer, BaseProtocol
from collections.abc import Callable
from functools import partial
from pathlib import Path

from flashcore.gateway.accessfile import kept_tokens
from flashcore.gateway.broker import Broker
from flashcore.gateway.callers.desk import CallersDesk
from flashcore.gateway.callers.link import Links
from flashcore.gateway.dismissing import Dismissals
from flashcore.gateway.dispatch import Answerers, Front
from flashcore.gateway.files import make_private_directory
from flashcore.gateway.http.limits import Limits
from flashcore.gateway.http.onward import Onward
from flashcore.gateway.http.route import Dispatcher
from flashcore.gateway.http.server import HttpServer
from flashcore.gateway.intake import Intake
from flashcore.gateway.jobs_api import JobsApi
from flashcore.gateway.keyring import Keyring
from flashcore.gateway.link import ControlLink
from flashcore.gateway.local import LocalRoutes
from flashcore.gateway.metrics import Metrics
from flashcore.gateway.misspelt import Misspelt
from flashcore.gateway.predecessors import LOOK_AGAIN, Predecessors
from flashcore.gateway.quiet import QuietFront
from flashcore.gateway.remainder import Remainder
from flashcore.gateway.retired import Rest
from flashcore.gateway.routes import Routes
from flashcore.gateway.security import Security
from flashcore.gateway.settings import Settings
from flashcore.gateway.signals import ChangedEndpoints, Signaller
from flashcore.gateway.sockets import bound_to_path, listen_on_path
from flashcore.gateway.table import LiveTable, RoutingPolicies, TableRefused
from flashcore.gateway.tablefile import kept_table
from flashcore.gateway.workers import WorkerConnection
from flashcore.hookspecs.jobs import JobStore
from flashcore.model.layout import Layout
from flashcore.wire.hop import hop_secret

_log = logging.getLogger(__name__)

_AFTER_QUIET = 1.0
"""Seconds for what is under way in a gateway that was quiet, or has waited for it: nobody is expected to answer it."""

_LOOK_FOR_TOKENS = 1.0
"""Seconds between two looks at the tokens, where nobody tells of them."""

_SEEN_WITHIN = 2 * LOOK_AGAIN
"""Seconds for which what a retired gateway has ended stays written down, for the next one to count it."""

_LAST_ANSWERS = 1.0
"""Seconds in which those who waited for jobs in vain are told how these are."""


class Gateway:
    """A gateway of one environment. Made within a running loop; `start`, then `serve_http`, in the end `close`.

    It takes the job store over: `close` closes it. `in_front` may put a dispatcher before the gateway's own.
    """

    def __init__(
        self,
        layout: Layout,
        store: JobStore,
        policies: RoutingPolicies,
        settings: Settings,
        in_front: Callable[[Dispatcher], Dispatcher] = lambda front: front,
        security: Security | None = None,
    ) -> None:
        self.layout = layout
        self.settings = settings
        self.url = ""
        changed = ChangedEndpoints()
        self._changed = changed
        self._name = name = f"{os.getpid()}-{secrets.token_hex(4)}"
        self.live = LiveTable(policies, asyncio.get_running_loop(), settings, changed.add, hop_secret(layout.hop_key))
        routes: Callable[[], Routes] = partial(getattr, self.live, "routes")
        security = security or Security()
        # With TLS it is the certificate that a name has to fit, and callers check that.
        has_names = security.exposed or bool(security.proxies) or security.certificate is not None
        self.keyring = Keyring(layout.token, required=security.auth, any_name=has_names)
        self._link = ControlLink(self.live, self.keyring, layout, self)
        self.broker = Broker(store, settings, routes, changed.add, layout.home, self._link.troubled)
        self.live.on_swap(self.broker.table_swapped)
        self._signaller = Signaller(name, self.broker, routes, changed, self._link.tell)
        self._link.signaller = self._signaller
        local = LocalRoutes(routes, lambda: self.url)
        self._readiness = local.readiness
        self._notice = 0.0
        self._is_retired = self._has_waited = self._is_quiet = False
        self._rest: Remainder | None = None
        intake = Intake(self.broker, settings)
        misspelt = Misspelt(lambda: routes().version > 0)
        self.jobs = jobs = JobsApi(self.broker, routes, settings, intake, self.keyring.caller_of, misspelt)
        metrics = Metrics(routes, self.broker, self.keyring)
        limits = Limits(local_body_bytes=intake.largest, body_rate=settings.body_rate)
        desk = CallersDesk(routes, intake, self.keyring, jobs.not_a_queue)
        metrics.links = links = Links(desk, limits, asyncio.get_running_loop())
        self.front = front = Front(routes, Answerers(jobs, links, local, metrics, misspelt), self.keyring, settings)
        self._usual = in_front(front)
        self._quiet = QuietFront(self._usual, jobs, self.keyring)
        # Who comes over the Unix socket is a gateway of this environment, and tells who its clients are.
        self.http = HttpServer(self._usual, limits, security.proxies | {""}, folder=layout.home)
        metrics.server = self.http
        self._predecessors = metrics.predecessors = Predecessors(layout, routes)
        self._dismissals = Dismissals(self.keyring, front, self.http)
        self._servers: dict[Path, AbstractServer] = {}
        self._tasks: list[asyncio.Task[None]] = []
        """Those that last as long as the gateway."""
        self._duties: list[asyncio.Task[None]] = []
        """Those of the environment's one gateway."""

    async def start(self) -> None:
        """Take up the jobs that are under way and the last table, then let workers and control planes connect.

        Raises Refused when another gateway serves this environment, StateError when the job store cannot be used.
        """
        make_private_directory(self.layout.home)
        make_private_directory(self.layout.run)
        await self.broker.start()
        self.keyring.take_over(kept_tokens(self.layout.access_file))
        self._serve_kept_table()
        await self.broker.count_all()
        self._predecessors.look()
        patience, home = self.settings.hello_patience, self.layout.home
        await self._listen(self.layout.worker_socket, lambda: WorkerConnection(self.broker.crew, patience, home))
        await self._listen(self.layout.dataplane_socket, self._link.connection)
        await self.http.listen_on(await bound_to_path(self.layout.onward_socket))
        self._duties.append(asyncio.create_task(self._signaller.run(self.settings.signal_interval), name="signals"))
        self._duties.append(asyncio.create_task(self._predecessors.watch(), name="predecessors"))
        self._tasks.append(asyncio.create_task(self._dismissals.run(), name="dismissals"))

    async def await_table(self, seconds: float) -> None:
        """Return once there is a table to serve by, or after so long; at once where there never was one.

        One that was kept may have been damaged. A control plane that runs sends it again within a second.
        """
        if self.live.routes.version or not self.layout.table_file.exists():
            return
        came = asyncio.Event()
        self.live.on_swap(lambda _: came.set())
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await came.wait()

    async def give_notice(self) -> None:
        """Say that it drains, and go on accepting for as long as those who ask need to send new requests elsewhere."""
        if self._is_quiet:
            return
        self._readiness.draining = True
        self._notice = self._readiness.notice(self.settings.stop_grace)
        if self._notice:
            _log.info("draining: new requests are taken for %.1f s more", self._notice)
            await asyncio.sleep(self._notice)

    async def quiesce(self, grace: float) -> int:
        """Say that it drains, take no new work, and return how many requests are under way still after `grace` seconds.

        Workers and replicas are served until `close`: what they are at needs the gateway.
        """
        self._readiness.draining = True
        notice = self._readiness.notice(grace)
        await asyncio.sleep(notice)
        self._is_quiet = True
        left = await self.http.quiesce(self._quiet, self._quiet.awaits, grace - notice)
        _log.info("takes nothing new; %d requests are under way", left)
        return left

    def resume(self) -> None:
        """Take new work again, after `quiesce`."""
        self._readiness.draining = self._is_quiet = False
        self.http.reopen(self._usual)
        _log.info("takes new work again")

    async def retire(self, tell: Callable[[Rest], None]) -> None:
        """Let go of all that only one gateway may have, for the next one. What replicas are at goes on, as it is.

        Who waits for a job is told how it is by now, and what was being stored is stored before it is answered. From
        then on `tell` is told what is left, whenever that changes.
        """
        self._is_retired = True
        self.http.give_way(Onward(self.layout.onward_socket, self.settings.hold_seconds))
        self.live.close()
        self.broker.stop_claiming()
        self.jobs.dismiss_workers()
        self.broker.tell_all()
        given_up = await self.http.settle(self.settings.stop_grace)
        if given_up:
            _log.warning("%d requests about jobs had no answer in time and are told so", given_up)
        await self._let_go()
        self._rest = rest = Remainder(self._name, self.live.routes, tell)
        rest.look()
        self._tasks.append(asyncio.create_task(rest.watch(self._changed), name="what is left"))
        self._tasks.append(asyncio.create_task(self._hear_of_tokens(), name="tokens"))

    async def finish(self) -> None:
        """Return when everything has ended that goes on after `retire`, or when it has gone on for long enough."""
        await self.http.emptied_within(self.settings.handover_grace)
        self._has_waited = True
        if self._rest is not None and self._rest.look():
            await asyncio.sleep(_SEEN_WITHIN)

    async def close(self) -> None:
        """Let requests under way end, store what workers reported, let go of everything. Jobs stay where they are."""
        over = self._is_quiet or self._has_waited
        grace = (_AFTER_QUIET if over else self.settings.stop_grace) - self._notice
        await self.http.retire(grace)
        self.jobs.dismiss_workers()
        if not await self.http.emptied_within(grace):
            self.broker.tell_all()
        aborted = await self.http.close(_LAST_ANSWERS)
        if aborted:
            _log.warning("%d requests were still under way and are cut off", aborted)
        if not self._is_retired:
            self.live.close()
            await self._let_go()
        for task in self._tasks:
            task.cancel()

    async def _hear_of_tokens(self) -> None:
        """From the gateway that is told of them: what a token has begun here ends with it, too."""
        last = kept_tokens(self.layout.access_file)
        while True:
            await asyncio.sleep(_LOOK_FOR_TOKENS)
            tokens = kept_tokens(self.layout.access_file)
            if tokens != last:
                self.keyring.take_over(tokens)
                last = tokens

    async def _let_go(self) -> None:
        """Of workers, of the control plane and of the jobs."""
        for path, server in self._servers.items():
            server.close()
            _remove(path)
        _remove(self.layout.onward_socket)
        await self.broker.close()
        self._link.close()
        for duty in self._duties:
            duty.cancel()
        await self.broker.store.close()

    async def _listen(self, path: Path, protocol: Callable[[], BaseProtocol]) -> None:
        self._servers[path] = await listen_on_path(path, protocol)

    def _serve_kept_table(self) -> None:
        table = kept_table(self.layout.table_file, self.layout.table_changes_file)
        if table is None:
            return
        try:
            self.live.apply(table)
            _log.info("serving by table %d, the last that was kept", table.version)
        except TableRefused as error:
            _log.warning("the table that was kept cannot be served: %s", error)


def _remove(path: Path) -> None:
    with contextlib.suppress(FileNotFoundError):
        path.unlink()
