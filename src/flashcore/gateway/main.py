"""The gateway's process: python -m flashcore.gateway --layout ROOT --env ENV --jobs URL [--port N] [--host HOST]."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import errno
import logging
import os
import signal
import socket
import ssl
import sys
from collections.abc import Callable, Coroutine, Iterator, Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from flashcore.gateway.assembly import Gateway
from flashcore.gateway.buffers import keep_buffers
from flashcore.gateway.collecting import collect_seldom
from flashcore.gateway.descriptors import allow_many_connections, complain_seldom
from flashcore.gateway.handover import Handover, Listeners
from flashcore.gateway.retired import Notice
from flashcore.gateway.security import Security, is_loopback, peer_address
from flashcore.gateway.settings import Settings, settings_from
from flashcore.gateway.succession import Office, succeed, take_office
from flashcore.gateway.table import RoutingPolicies
from flashcore.hookspecs.state import Stores
from flashcore.model.errors import FlashcoreError, Refused
from flashcore.model.layout import Layout
from flashcore.model.parts import PartRef
from flashcore.presence import own_presence, read_presence, remove_presence, write_presence
from flashcore.registry.index import setting_of_process
from flashcore.registry.opening import open_registry
from flashcore.registry.registry import Registry

_log = logging.getLogger(__name__)

PORTS_TRIED = 100

_TABLE_SECONDS = 5.0
"""For a control plane to send a table that was lost: who calls meanwhile waits in the sockets, and is not refused."""

_LOOPBACK = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - listened at by choice, called by the other


@dataclass(frozen=True, slots=True)
class Options:
    """What the command line says."""

    layout: Layout
    host: str
    port: int
    strict_port: bool
    jobs_url: str
    settings: Settings
    security: Security
    inherited: Listeners
    succeeds: bool


@dataclass(frozen=True, slots=True)
class _Parts:
    """What plugins give to a gateway."""

    policies: RoutingPolicies
    stores: Stores


def parse(arguments: Sequence[str]) -> Options:
    """Read the command line; ends the process for one that cannot be meant. Raises ConfigurationError."""
    parser = argparse.ArgumentParser(
        prog="python -m flashcore.gateway", description="Serve one environment.", allow_abbrev=False
    )
    parser.add_argument("--layout", required=True, type=Path, metavar="ROOT", help="the project's directory")
    parser.add_argument("--env", required=True, help="the environment")
    parser.add_argument("--jobs", required=True, metavar="URL", help="where jobs are kept")
    parser.add_argument("--host", default="127.0.0.1", help="address to listen at")
    parser.add_argument("--port", default=8700, type=int, help="the first port to try; 0 takes any that is free")
    parser.add_argument("--strict-port", action="store_true", help="do not try further ports")
    parser.add_argument("--set", action="append", default=[], metavar="NAME=VALUE", help="one of the settings")
    parser.add_argument("--auth", choices=("auto", "on", "off"), default="auto", help="whether callers need a token")
    parser.add_argument("--tls-certificate", type=Path, metavar="FILE", help="certificate chain, in PEM")
    parser.add_argument("--tls-key", type=Path, metavar="FILE", help="its key, in PEM")
    parser.add_argument("--exposed", action="store_true", help="listen beyond this machine without TLS or tokens")
    parser.add_argument("--trusted-proxy", action="append", default=[], help="whose X-Forwarded headers are believed")
    parser.add_argument("--listen-fd", action="append", default=[], type=int, help="a socket that listens already")
    parser.add_argument("--listen-tls-fd", action="append", default=[], type=int, help="the same, to speak TLS on")
    parser.add_argument("--succeed", action="store_true", help="have the gateway that runs retire, and take its place")
    # The registry reads these by itself.
    parser.add_argument("--no-plugins", action="store_true", help="load built-in plugins only")
    parser.add_argument("--no-plugin", action="append", metavar="NAME", help="do not load this plugin")
    parser.add_argument("--strict-plugins", action="store_true", help="a plugin that does not work is an error")
    given = parser.parse_args(arguments)
    layout = Layout(given.layout.resolve(), given.env)
    auth = given.auth == "on" or (given.auth == "auto" and not is_loopback(given.host))
    proxies = frozenset(map(peer_address, given.trusted_proxy))
    security = Security(auth, given.tls_certificate, given.tls_key, given.exposed, proxies)
    security.check(given.host)
    settings = settings_from(given.set)
    inherited = Listeners(given.host, tuple(given.listen_tls_fd), tuple(given.listen_fd))
    return Options(
        layout, given.host, given.port, given.strict_port, given.jobs, settings, security, inherited, given.succeed
    )


def main(arguments: Sequence[str] | None = None) -> int:
    """Serve until SIGTERM or SIGINT; 0 when all went well, 1 with the reason on standard error when not.

    SIGTERM gives those who share out requests notice (Gateway.give_notice). SIGINT does not: whoever sends it holds the
    listening sockets for the next gateway, and until that is there, new connections wait in them. A gateway that is
    asked to retire lets the next one begin, and ends when what it had begun has ended (Gateway.retire).
    """
    given = sys.argv[1:] if arguments is None else arguments
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s", stream=sys.stderr)
    try:
        options = parse(given)
        allow_many_connections()
        keep_buffers()
        setting = setting_of_process(given, os.environ, options.layout.root)
        with contextlib.closing(open_registry(setting)) as registry:
            parts = _Parts(registry.routing_policies, _job_stores(registry, options.jobs_url))
            with contextlib.closing(_office(options)) as office:
                _run(options, parts, office)
    except FlashcoreError as error:
        _log.error("%s", error)
        return 1
    return 0


def _office(options: Options) -> Office:
    """Be the environment's gateway; whatever is wrong with this process before here, the one that runs goes on."""
    if not options.succeeds:
        return take_office(options.layout)
    options.security.context()
    return succeed(options.layout, options.settings.stop_grace)


def _job_stores(registry: Registry, url: str) -> Stores:
    """What opens the job store; all of it is loaded then, whoever holds the jobs."""
    return registry.state_backends.make(PartRef(urlsplit(url).scheme))


def _run(options: Options, parts: _Parts, office: Office) -> None:
    with asyncio.Runner(loop_factory=_loop_factory()) as runner:
        runner.run(_serve(options, parts, office))


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop]:
    try:
        import uvloop
    except ImportError:
        return asyncio.new_event_loop
    return uvloop.new_event_loop


async def _serve(options: Options, parts: _Parts, office: Office) -> None:
    loop = asyncio.get_running_loop()
    complain_seldom(loop)
    stop: asyncio.Future[signal.Signals] = loop.create_future()
    retiring = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, _stop, stop, number)
    layout = options.layout
    gateway = Gateway(
        layout,
        await parts.stores.open_jobs(options.jobs_url),
        parts.policies,
        options.settings,
        security=options.security,
    )
    notice = Notice(layout, _own_version())

    def retire() -> None:
        notice.post()  # nobody is to hear that it retires who could not find it then
        retiring.set()

    handover = Handover(layout.listeners_socket, lambda: _listeners(gateway, options.host), retire)
    try:
        await gateway.start()
        if options.inherited.all:
            await gateway.await_table(_TABLE_SECONDS)
        gateway.url = await (_take_over(gateway, options) if options.inherited.all else _open_door(gateway, options))
        handover.start()
        write_presence(layout.gateway_file, own_presence(gateway.url, _own_version()))
        collect_seldom()
        await _first(stop, retiring.wait())
        if not stop.done():
            await _retire(gateway, office, handover, notice, stop)
        elif stop.result() is signal.SIGTERM:
            await gateway.give_notice()
    finally:
        handover.close()
        await gateway.close()
        if notice.is_posted:
            notice.take_down()
        else:
            remove_presence(layout.gateway_file)


async def _retire(
    gateway: Gateway, office: Office, handover: Handover, notice: Notice, stop: asyncio.Future[signal.Signals]
) -> None:
    """Make room for the next gateway, then go on with what replicas are at, until that is over or somebody says so.

    Its address stays written down: it will be the next one's, for whom clients wait in the sockets.
    """
    _log.info("retiring: the next gateway takes over")
    handover.close()
    await gateway.retire(notice.tell)
    office.close()
    _log.info("retired; %d connections are open still", gateway.http.connection_count)
    await _first(stop, gateway.finish())


async def _first(stop: asyncio.Future[signal.Signals], work: Coroutine[Any, Any, object]) -> None:
    """Return when `work` is done, or dropped because of a signal. Raises what it raises."""
    task = asyncio.ensure_future(work)
    either: set[asyncio.Future[Any]] = {stop, task}
    await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
    if task.done():
        task.result()
        return
    task.cancel()
    await asyncio.wait({task})


def _stop(stop: asyncio.Future[signal.Signals], number: signal.Signals) -> None:
    """The first time: end in order. The second time somebody is in a hurry."""
    if stop.done():
        os._exit(128 + number)
    stop.set_result(number)


def _listeners(gateway: Gateway, host: str) -> Listeners:
    return Listeners(host, gateway.http.descriptors(encrypted=True), gateway.http.descriptors(encrypted=False))


async def _take_over(gateway: Gateway, options: Options) -> str:
    """Go on with the sockets of the last gateway; the URL for programs of this machine."""
    inherited, tls = options.inherited, options.security.context()
    for descriptor in inherited.encrypted:
        await gateway.http.listen_on(socket.socket(fileno=descriptor), tls)
    port = 0
    for descriptor in inherited.plain:
        listener = socket.socket(fileno=descriptor)
        port = listener.getsockname()[1]
        await gateway.http.listen_on(listener)
    host = "127.0.0.1" if inherited.encrypted else _LOOPBACK.get(options.host, options.host)
    url = f"http://{_shown_host(host)}:{port}"
    _log.info("goes on at %s, with the sockets of the last gateway", url)
    return url


async def _open_door(gateway: Gateway, options: Options) -> str:
    """Listen; the URL for programs of this machine, which need no TLS on the loopback interface."""
    tls = options.security.context()
    port = await _listen(gateway, options, tls)
    url = f"{'http' if tls is None else 'https'}://{_shown_host(options.host)}:{port}"
    _log.info("listening at %s; callers need %s", url, "a token" if options.security.auth else "no token")
    if tls is None:
        return f"http://{_shown_host(_LOOPBACK.get(options.host, options.host))}:{port}"
    inner = await _listen_inside(gateway, options.layout)
    _log.info("listening at http://127.0.0.1:%d, for this machine", inner)
    return f"http://127.0.0.1:{inner}"


async def _listen_inside(gateway: Gateway, layout: Layout) -> int:
    """Listen on the loopback interface, at the port of the last gateway where that is free: replicas know it."""
    for port in (_last_port(layout), 0):
        with contextlib.suppress(OSError):
            return await gateway.http.listen("127.0.0.1", port)
    raise Refused("no port is free on the loopback interface", next_step="stop something that listens there")


async def _listen(gateway: Gateway, options: Options, tls: ssl.SSLContext | None) -> int:
    """The first port that is free. Raises Refused when none is."""
    for port in _ports(options):
        try:
            return await gateway.http.listen(options.host, port, tls)
        except OSError as error:
            if error.errno != errno.EADDRINUSE:
                raise Refused(
                    f"the gateway cannot listen at {options.host}:{port}: {error.strerror or error}",
                    next_step="choose another --host or --port",
                ) from error
    tried = f"port {options.port} is" if options.strict_port else f"{PORTS_TRIED} ports from {options.port} are"
    raise Refused(f"{tried} in use on {options.host}", next_step="stop what listens there, or choose another --port")


def _ports(options: Options) -> Iterator[int]:
    """The port of the last gateway first: replicas and callers still have its address."""
    if options.strict_port:
        yield options.port
        return
    wanted = range(options.port, min(options.port + PORTS_TRIED, 65536)) if options.port else range(1)
    port = _last_port(options.layout)
    if port and options.security.certificate is None and (options.port == 0 or port in wanted):
        yield port
    yield from wanted


def _last_port(layout: Layout) -> int:
    """Where the last gateway was called by programs of this machine; 0 where that is not known."""
    last = read_presence(layout.gateway_file)
    return 0 if last is None else urlsplit(last.url).port or 0


def _shown_host(host: str) -> str:
    return f"[{host}]" if ":" in host else host


def _own_version() -> str:
    try:
        return version("flashcore-framework")
    except PackageNotFoundError:
        return "unknown"
