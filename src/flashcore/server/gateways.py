"""Keeping the gateway alive: one process that goes on when this one ends, found again when this one comes back.

Where it is replaced, the next one does that itself: once it has loaded all that it can without being the gateway, it
asks the one that runs to retire. Nothing that happens here in between can leave the environment without both.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence

import flashcore
from flashcore.gateway.handover import Listeners, ask_for_listeners
from flashcore.gateway.retired import retired_gateways, serving_gateway
from flashcore.gateway.succession import is_taken
from flashcore.model.errors import Refused, Unavailable
from flashcore.model.layout import Layout
from flashcore.presence import Presence, read_presence, remove_dead_presence
from flashcore.registry.policy import policy_arguments
from flashcore.server.last_words import last_words, size_of
from flashcore.settings import Project

log = logging.getLogger(__name__)

_FIRST_DELAY = 0.2
_LONGEST_DELAY = 10.0
_START_TIMEOUT = 30.0
_NEWBORN_GRACE = 5.0
_LOOK_AGAIN = 1.0
"""Seconds between two looks whether the gateway that is kept was replaced, for a control plane that has died since."""

_STEADY = 30.0
"""A gateway that lived for so many seconds is started again at once when it ends."""


class GatewayKeeper:
    """Starts the environment's gateway, or takes over the one that runs, and starts it again whenever it ends."""

    def __init__(self, project: Project) -> None:
        self._project = project
        self._log = project.layout.logs / "gateway.log"
        self._log_began = 0
        """Where in it the one that was started last begins."""
        self._task: asyncio.Task[None] | None = None
        self._present: Presence | None = None
        self._process: subprocess.Popen[bytes] | None = None
        """The one that was started here last; it may not listen yet."""
        self._retired: set[asyncio.Task[None]] = set()
        """Waiting for the end of those that were started here, which is theirs to choose."""
        self._own = False
        self._restarting = asyncio.Lock()
        self._is_stopping = False
        self._listeners: Listeners | None = None
        """The gateway's sockets, held here so that the next one has them and nobody is refused in between."""

    @property
    def present(self) -> Presence | None:
        """The gateway that runs now."""
        return self._present

    @property
    def from_outside(self) -> str | None:
        """The gateway's address for programs of other machines; None where it has none."""
        return self._listeners.from_outside if self._listeners is not None else None

    @property
    def is_replacing(self) -> bool:
        """Whether the next one is on its way; the last one serves until it is there."""
        return self._restarting.locked()

    async def start(self) -> Presence:
        """Return when a gateway answers. Raises Unavailable with what it said when it does not come up."""
        self._present = await self._find_or_start()
        await self._hold_listeners()
        if self._present.version != flashcore.__version__:
            log.info("the gateway is of version %s; it is replaced by this one's", self._present.version)
            await self._upgrade()
        self._task = asyncio.create_task(self._keep(self._present), name="gateway keeper")
        return self._present

    async def restart(self) -> Presence:
        """Have another gateway take the place of the one that runs, which finishes what it has begun.

        Raises Unavailable where the next one cannot be started: the one that runs goes on then, or, where that has made
        room already, another start is tried until one succeeds. Raises Refused while everything ends.
        """
        async with self._restarting:  # two at once would leave a keeper behind that nobody knows of
            if self._is_stopping:
                raise Refused("the platform stops", next_step="start it again: flashcore server start")
            await self.let_go()
            try:
                return await self._replace()
            finally:
                self._task = asyncio.create_task(self._keep(self._present), name="gateway keeper")

    async def _replace(self) -> Presence:
        before, self._present = self._present, None  # who looks meanwhile is not to take it for the one that is kept
        try:
            if before is not None and before.alive:
                self._present = await self._started_after(before)
            else:
                self._present = await self._start_at_last()
        finally:
            if self._present is None:
                self._present = self._serving()
        return self._present

    async def _started_after(self, before: Presence) -> Presence:
        """The next gateway, once it listens. Raises Unavailable, whether the last one serves still or made room."""
        if self._listeners is None:
            # Nobody could connect meanwhile: it gives notice to those who share out requests.
            await asyncio.to_thread(_end, before, self._project.settings.gateway_grace, signal.SIGTERM)
            return await self._start_at_last()
        self._await_end_of(before)
        try:
            self._process = self._spawn("--succeed")
            self._own = True
            present = await self._until_listening(self._process, 2 * self._project.settings.gateway_grace)
        except Unavailable:
            if self._serving() is not None:
                await self._hold_listeners()
            raise
        await self._hold_listeners()
        log.info("the gateway at %s (pid %d) took over from pid %d", present.url, present.pid, before.pid)
        return present

    def _await_end_of(self, retiring: Presence) -> None:
        """Who starts a process has to take note of its end, or it stays in the system's table."""
        process = self._process
        if process is not None and process.pid == retiring.pid:
            task = asyncio.create_task(_reaped(process, retiring), name=f"end of gateway {retiring.pid}")
            self._retired.add(task)
            task.add_done_callback(self._retired.discard)

    def _serving(self) -> Presence | None:
        """The gateway that says that it serves."""
        return serving_gateway(self._project.layout)

    async def _upgrade(self) -> None:
        try:
            await self._replace()
        except Unavailable as error:
            log.error("the older gateway is not replaced: %s", error)
            if self._present is None:
                self._present = await self._start_at_last()

    async def abandon(self) -> None:
        """Undo the start: end the gateway if it was started here, leave one that was running before."""
        await (self.stop(0.0) if self._own else self.let_go())

    async def begin_stop(self) -> None:
        """Stop watching, once a restart that is under way is through; there will be no other one."""
        self._is_stopping = True
        async with self._restarting:
            await self.let_go()

    async def let_go(self) -> None:
        """Stop watching; the gateway goes on, also one that is on its way up."""
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            await asyncio.wait({task})
            if not task.cancelled() and (problem := task.exception()) is not None:
                log.error("nobody has looked after the gateway any more", exc_info=problem)

    async def end_retired(self, grace: float) -> None:
        """End those that were replaced, which have `grace` seconds for what they had begun."""
        retired = await asyncio.to_thread(retired_gateways, self._project.layout)
        await asyncio.gather(*(asyncio.to_thread(_end, one.presence, grace, signal.SIGTERM) for one in retired))

    async def stop(self, grace: float) -> None:
        """End every gateway: SIGTERM, and SIGKILL when one does not finish within `grace` and a little."""
        await self.begin_stop()
        # First: where they are open here a caller would still be let in by the kernel, and answered by nobody.
        self._drop_listeners()
        if self._present is not None and self._present.alive:
            await asyncio.to_thread(_end, self._present, grace, signal.SIGTERM)
        self._present = None
        if self._process is not None and self._process.poll() is None:
            await asyncio.to_thread(_end_newborn, self._process)
        await asyncio.to_thread(_end_strangers, self._project.layout, grace)
        await self.end_retired(grace)
        await asyncio.gather(*self._retired)
        remove_dead_presence(self._project.layout.gateway_file)

    async def _keep(self, present: Presence | None) -> None:
        """Start the next one whenever this one ends; at once where there is none."""
        delay = _FIRST_DELAY
        clock = asyncio.get_running_loop().time
        while True:
            began = clock()
            if present is not None:
                await self._over(present)
            present = self._present = self._serving()
            if present is not None:
                log.info("the gateway at %s (pid %d) is in its place", present.url, present.pid)
                await self._hold_listeners()
                continue
            delay = _FIRST_DELAY if clock() - began > _STEADY else min(delay * 2, _LONGEST_DELAY)
            log.warning("the gateway ended; it is started again in %.1f s", delay)
            await asyncio.sleep(delay)
            present = self._present = await self._start_at_last()

    async def _over(self, gateway: Presence) -> None:
        """Return once it has ended, or was replaced by one that an earlier control plane had started."""
        ended = asyncio.create_task(_ended(gateway))
        try:
            while not (await asyncio.wait({ended}, timeout=_LOOK_AGAIN))[0]:
                if gateway.pid in {one.presence.pid for one in retired_gateways(self._project.layout)}:
                    return
        finally:
            ended.cancel()

    async def _start_at_last(self) -> Presence:
        """Try until it comes up, less and less often: a full disk or a taken port may pass."""
        delay = _FIRST_DELAY
        while True:
            try:
                found = await self._find_or_start()
                await self._hold_listeners()
                return found
            except Unavailable as error:
                log.error("%s", error)
                delay = min(delay * 2, _LONGEST_DELAY)
                await asyncio.sleep(delay)

    async def _find_or_start(self) -> Presence:
        present = self._serving()
        if present is not None:
            log.info("taking over the gateway at %s (pid %d)", present.url, present.pid)
            return present
        if self._process is None or self._process.poll() is not None:
            self._process = self._spawn()
            self._own = True
        # Otherwise it is on its way up: somebody waited for it before, and was called away.
        try:
            present = await self._until_listening(self._process)
        except Unavailable:
            other = self._serving()
            if other is None:
                raise
            present = other  # another one was on its way, which an earlier control plane had started
        log.info("the gateway listens at %s (pid %d)", present.url, present.pid)
        return present

    async def _hold_listeners(self) -> None:
        asking = asyncio.ensure_future(asyncio.to_thread(ask_for_listeners, self._project.layout.listeners_socket))
        try:
            self._hold(await asyncio.shield(asking))
        except asyncio.CancelledError:
            self._hold(await asking)  # or they would stay open, and callers be let in whom nobody answers
            raise

    def _hold(self, given: Listeners | None) -> None:
        if given is not None:
            self._drop_listeners()
            self._listeners = given

    def _drop_listeners(self) -> None:
        if self._listeners is not None:
            for descriptor in self._listeners.all:
                os.close(descriptor)
            self._listeners = None

    def _inherited(self) -> Listeners | None:
        """The sockets that the next gateway goes on with, where it is to listen as the last one did."""
        settings, held = self._project.settings, self._listeners
        if held is None or held.host != settings.host or bool(held.encrypted) is not bool(settings.tls.certificate):
            return None
        return held

    def _spawn(self, *more: str) -> subprocess.Popen[bytes]:
        """Start the process. Not in a thread: who is called away meanwhile would not know of it. Raises Unavailable."""
        try:
            return self._started(more)
        except OSError as error:
            raise Unavailable(
                f"the gateway cannot be started: {error}",
                next_step="it is tried again; look at disk, memory and limits",
            ) from error

    def _started(self, more: Sequence[str]) -> subprocess.Popen[bytes]:
        project, settings = self._project, self._project.settings
        inherited = self._inherited() or Listeners(settings.host)
        if not inherited.all:
            self._drop_listeners()
        self._log_began = size_of(self._log)
        with self._log.open("ab") as logfile:
            return subprocess.Popen(
                [
                    *(sys.executable, "-P", "-m", "flashcore.gateway"),
                    *("--layout", str(project.root), "--env", settings.environment),
                    *("--host", settings.host, "--port", str(settings.ports.gateway)),
                    *("--jobs", project.jobs_url),
                    *security_options(project),
                    f"--set=stop_grace={settings.gateway_grace}",
                    *(f"--set={name}={value}" for name, value in settings.gateway.items()),
                    *(f"--listen-tls-fd={descriptor}" for descriptor in inherited.encrypted),
                    *(f"--listen-fd={descriptor}" for descriptor in inherited.plain),
                    *more,
                    *policy_arguments(sys.argv[1:]),
                ],
                stdin=subprocess.DEVNULL,
                stdout=logfile,
                stderr=logfile,
                pass_fds=inherited.all,
                start_new_session=True,
                cwd=project.root,
            )

    async def _until_listening(self, process: subprocess.Popen[bytes], longer: float = 0.0) -> Presence:
        """The file appears when the gateway listens; a file is all that is sure to be seen over a restart."""
        deadline = asyncio.get_running_loop().time() + _START_TIMEOUT + longer
        while process.poll() is None and asyncio.get_running_loop().time() < deadline:
            present = read_presence(self._project.layout.gateway_file)
            if present is not None and present.pid == process.pid:
                return present
            await asyncio.sleep(0.02)
        slow = process.poll() is None
        if slow:
            process.kill()
            await asyncio.to_thread(process.wait)
        words = last_words(self._log, self._log_began)
        what = "is not listening yet" if slow else "ended while it started"
        raise Unavailable(
            f"the gateway {what}: {words.said or _wordless(process.returncode, slow=slow)}",
            next_step=words.next_step or f"look at {self._log}",
        )


def security_options(project: Project) -> Iterator[str]:
    """The options that say what the gateway asks of its callers."""
    settings = project.settings
    yield f"--auth={settings.auth}"
    if settings.exposed:
        yield "--exposed"
    yield from (f"--trusted-proxy={address}" for address in settings.trusted_proxies)
    for option, path in (("--tls-certificate", settings.tls.certificate), ("--tls-key", settings.tls.key)):
        if path:
            yield f"{option}={project.root / path}"


async def _ended(gateway: Presence) -> None:
    """Return when the process has ended, child or not; a thread that waited would hold up this process's own end."""
    try:
        descriptor = os.pidfd_open(gateway.pid)
    except ProcessLookupError:
        return
    except (AttributeError, OSError):  # another system, or there is no descriptor to be had
        await _polled_to_end(gateway)
        return
    loop = asyncio.get_running_loop()
    ended = asyncio.Event()
    loop.add_reader(descriptor, ended.set)
    try:
        await ended.wait()
    finally:
        loop.remove_reader(descriptor)
        os.close(descriptor)


async def _reaped(process: subprocess.Popen[bytes], gateway: Presence) -> None:
    await _ended(gateway)
    process.wait()


async def _polled_to_end(gateway: Presence) -> None:
    """Where the end of a stranger is no event."""
    while gateway.alive:  # noqa: ASYNC110 - see above
        await asyncio.sleep(0.2)


def _end(gateway: Presence, grace: float, way: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(gateway.pid, way)
        if not gateway.ended_within(grace + 5.0):
            log.warning("the gateway (pid %d) did not end within %.0f s and is killed", gateway.pid, grace + 5.0)
            os.kill(gateway.pid, signal.SIGKILL)
            gateway.ended_within(5.0)


def _end_strangers(layout: Layout, grace: float) -> None:
    """End who came to the place of a gateway that was ended: an earlier control plane had begun to replace it."""
    deadline = time.monotonic() + _START_TIMEOUT
    while is_taken(layout) and time.monotonic() < deadline:
        if (serving := serving_gateway(layout)) is not None:
            _end(serving, grace, signal.SIGTERM)
        time.sleep(0.02)


def _wordless(status: int, *, slow: bool) -> str:
    """How it ended of which there is no other word."""
    if slow or status >= 0:
        return "silently"
    return f"killed by signal {-status}"


def _end_newborn(process: subprocess.Popen[bytes]) -> None:
    """End one that serves nobody yet."""
    process.terminate()
    try:
        process.wait(_NEWBORN_GRACE)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
