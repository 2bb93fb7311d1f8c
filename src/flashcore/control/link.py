"""The control plane's end of the data plane: a socket to a gateway, made again for as long as there is a control plane.

What the controller publishes is kept here, so that a gateway that was away hears it when it is back. While it is away
the gateway serves by the last table that it has: it still counts, until it was gone for a moment.

A gateway is told what changed since the table that it acknowledged. One that is older than that message hangs up on the
hello: it is called again without one, and sent whole tables for as long as that connection lasts.
"""

from __future__ import annotations

import asyncio
import logging
import random
from asyncio import StreamReader, StreamWriter
from collections.abc import AsyncGenerator, Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from flashcore.control.delivery import Delivery
from flashcore.control.news import NewsDesk
from flashcore.model.codec import CodecError, from_json, to_json
from flashcore.model.errors import ProtocolError
from flashcore.model.names import EndpointName
from flashcore.model.table import EndpointSignals, RoutingTable, TableChange
from flashcore.model.token import Token
from flashcore.wire.dataplane import GatewayState
from flashcore.wire.frames import FrameDecoder
from flashcore.wire.heads import encode_message
from flashcore.wire.messages import (
    Access,
    Applied,
    ControlHello,
    ControlWelcome,
    Message,
    Quiesce,
    Quiesced,
    Signals,
    Table,
    TableUpdate,
    Trouble,
    from_frame,
)
from flashcore.wire.news import News
from flashcore.wire.parts import PartLimits, TooLong, encode
from flashcore.wire.versions import DATA_PLANE, PARTS, QUIESCES

_log = logging.getLogger(__name__)

_CHUNK = 1 << 18
_LOOK_BESIDE = 0.5
"""Seconds between two looks at what gateways say that were replaced: they say it in files."""

_LATE = 2.0
"""Seconds beyond its grace after which a gateway is not waited for that was told to take no new work."""


Signalled = Mapping[EndpointName, tuple[EndpointSignals, ...]]
"""What several gateways say, by endpoint."""


@dataclass(frozen=True, slots=True)
class LinkTimes:
    """Seconds."""

    first_pause: float = 0.05
    longest_pause: float = 1.0
    """Between two attempts to connect: they double from the first to the longest, shortened at random."""
    linger: float = 5.0
    """A gateway whose connection ended counts for so long: it may serve, or be back at once."""


@dataclass(slots=True, eq=False)
class _Gateway:
    """What is known of the gateway at the other end."""

    state: GatewayState
    writer: StreamWriter | None = None
    counts: bool = False
    """It is connected, or was until a moment ago."""
    heard: bool = False
    """It has said by what it serves, on this connection."""
    speaks: int = 0
    """The version of the data plane agreed on for this connection, 0 while there is none."""
    delivery: Delivery = field(default_factory=Delivery)
    signals: dict[EndpointName, EndpointSignals] = field(default_factory=dict)


class SocketDataPlane:
    """A DataPlane of the one gateway that listens at `path`. Made within a running loop; `close` it in the end.

    `beside` reads what others say that it has replaced and that finish what they had begun: they are heard, and told
    nothing, as they begin nothing.
    """

    def __init__(
        self,
        path: Path,
        name: str = "gateway",
        times: LinkTimes | None = None,
        limits: PartLimits | None = None,
        beside: Callable[[], Signalled] = dict,
    ) -> None:
        self._path = path
        self._times = times or LinkTimes()
        self._limits = limits or PartLimits()
        self._gateway = _Gateway(GatewayState(name, 0))
        self._table: RoutingTable | None = None
        self._greets = True
        """Whether the next connection begins with a hello."""
        self.bytes_sent = 0
        """All that gateways were told, for who measures it."""
        self._access: Access | None = None
        self._quiet: asyncio.Future[int] | None = None
        self._news = NewsDesk()
        self._beside = beside
        self._heard_beside: Signalled = {}
        loop = asyncio.get_running_loop()
        self._tasks = (
            loop.create_task(self._stay_connected(), name="data plane link"),
            loop.create_task(self._listen_beside(), name="retired gateways"),
        )

    # -- DataPlane -------------------------------------------------------------------------------------------------

    async def publish(self, table: RoutingTable) -> None:
        """See DataPlane. A table that is older than the last one is not sent."""
        if self._table is None or table.version >= self._table.version:
            self._table = table
            self._gateway.delivery.want(table)
            self._send_table()

    def grant(self, tokens: Iterable[Token]) -> None:
        """Tell the gateway all tokens that are valid, now and whenever it connects."""
        self._access = Access(tuple(to_json(token) for token in tokens))
        self._send_access()

    async def quiesce(self, grace: float) -> int:
        """Have the gateway take no new work; returns how many requests are under way after `grace` seconds at most.

        0 where there is no gateway, or one of a version to which this cannot be said.
        """
        if self._gateway.writer is None or self._gateway.speaks < QUIESCES:
            return 0
        quiet: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self._quiet = quiet
        self._send(Quiesce(grace))
        try:
            async with asyncio.timeout(grace + _LATE):
                return await quiet
        except TimeoutError:
            _log.warning("gateway %s does not say what is under way", self._gateway.state.gateway)
            return 0

    def gateways(self) -> tuple[GatewayState, ...]:
        """See DataPlane."""
        return (self._gateway.state,) if self._gateway.counts else ()

    def signals(self, endpoint: EndpointName) -> tuple[EndpointSignals, ...]:
        """See DataPlane."""
        found = self._gateway.signals.get(endpoint)
        beside = self._heard_beside.get(endpoint, ())
        return beside if found is None else (found, *beside)

    def changes(self) -> AsyncGenerator[News, None]:
        """See DataPlane. Changes that come while nobody looks are told as one; ends when the data plane is closed."""
        return self._news.heard()

    async def close(self) -> None:
        """Hang up; the gateway goes on. Idempotent."""
        for task in self._tasks:
            task.cancel()
        await asyncio.wait(self._tasks)
        self._news.close()

    async def _listen_beside(self) -> None:
        while True:
            before, self._heard_beside = self._heard_beside, await asyncio.to_thread(self._beside)
            if self._heard_beside != before:
                self._news.tell_of_endpoints({*before, *self._heard_beside})
            await asyncio.sleep(_LOOK_BESIDE)

    # -- connecting ------------------------------------------------------------------------------------------------

    async def _stay_connected(self) -> None:
        pause = self._times.first_pause
        while True:
            try:
                reader, writer = await asyncio.open_unix_connection(str(self._path))
            except OSError:
                # It is not there yet, or is being started again.
                await asyncio.sleep(random.uniform(pause / 2, pause))  # noqa: S311 - spreads load, guards nothing
                pause = min(self._times.longest_pause, pause * 2)
                continue
            pause = self._times.first_pause
            await self._converse(reader, writer)
            await asyncio.sleep(pause)

    async def _converse(self, reader: StreamReader, writer: StreamWriter) -> None:
        """Until the connection ends."""
        gateway = self._gateway
        gateway.writer = writer
        gateway.counts = True
        self._begin()
        try:
            decoder = FrameDecoder()
            while data := await reader.read(_CHUNK):
                for frame in decoder.feed(data):
                    self._take(from_frame(frame))
            # It said by what it serves, then did not know what to make of the hello.
            self._greets = gateway.speaks != 0 or not gateway.heard
        except (OSError, ProtocolError, CodecError) as error:
            _log.warning("the link to gateway %s is cut: %s", gateway.state.gateway, error)
        finally:
            gateway.writer = None
            self._is_quiet(0)
            writer.close()
            asyncio.get_running_loop().call_later(self._times.linger, self._forget)

    def _begin(self) -> None:
        gateway = self._gateway
        gateway.delivery.begin()
        gateway.heard = False
        gateway.speaks = 0 if self._greets else DATA_PLANE.lowest
        if self._greets:
            self._send(ControlHello(DATA_PLANE))
        else:
            _log.info("gateway %s is of an older version: it is sent whole tables", gateway.state.gateway)
        self._greets = True
        self._send_access()
        self._send_table()

    def _send_table(self) -> None:
        gateway = self._gateway
        if gateway.writer is None or self._table is None:
            return
        if gateway.speaks == DATA_PLANE.lowest:
            self._send_long(Table(self._table.version, to_json(self._table)))
        elif gateway.speaks:
            self._send_next()

    def _send_next(self) -> None:
        match self._gateway.delivery.next():
            case RoutingTable() as table:
                self._send_long(Table(table.version, to_json(table)))
            case TableChange() as change:
                self._send_long(TableUpdate(change.version, to_json(change)))
            case None:
                pass

    def _send_long(self, message: Table | TableUpdate) -> None:
        """Send it, in parts where it is too long for one frame; what is too long for the gateway it refuses so."""
        gateway = self._gateway
        try:
            for data in encode(message, self._limits, in_parts=gateway.speaks >= PARTS):
                self._write(data)
        except TooLong as error:
            _log.error("table %d cannot be sent to gateway %s: %s", message.version, gateway.state.gateway, error)
            gateway.state = replace(gateway.state, refused=message.version, reason=str(error))
            gateway.delivery.refused(message.version)
            self._news.tell_of_gateways()

    def _send(self, message: Message) -> None:
        self._write(encode_message(message))

    def _write(self, data: bytes) -> None:
        writer = self._gateway.writer
        if writer is not None:
            self.bytes_sent += len(data)
            writer.write(data)

    def _send_access(self) -> None:
        if self._access is not None:
            self._send(self._access)

    def _forget(self) -> None:
        """It has been away for long enough not to be waited for, unless it is back."""
        if self._gateway.writer is None and self._gateway.counts:
            self._gateway.counts = False
            silent, self._gateway.signals = self._gateway.signals, {}
            self._news.tell_of_endpoints(silent)
            self._news.tell_of_gateways()

    # -- being told ------------------------------------------------------------------------------------------------

    def _take(self, message: Message) -> None:
        gateway = self._gateway
        match message:
            case ControlWelcome(protocol):
                gateway.speaks = protocol
                self._send_table()
            case Applied():
                self._answered(message)
            case Trouble(reason):
                gateway.state = replace(gateway.state, trouble=reason)
            case Quiesced(left):
                self._is_quiet(left)
            case Signals(endpoint, signals):
                gateway.signals[endpoint] = from_json(EndpointSignals, signals)
                self._news.tell_of_endpoints((endpoint,))
                return
            case _:
                raise ProtocolError(f"a gateway does not send a {type(message).__name__}")
        self._news.tell_of_gateways()

    def _is_quiet(self, left: int) -> None:
        if self._quiet is not None and not self._quiet.done():
            self._quiet.set_result(left)

    def _answered(self, answer: Applied) -> None:
        gateway = self._gateway
        gateway.heard = True
        if answer.refused is None:
            gateway.state = replace(gateway.state, applied=answer.version)
            gateway.delivery.applied(answer.version)
        else:
            gateway.state = replace(gateway.state, refused=answer.version, reason=answer.refused)
            gateway.delivery.refused(answer.version)
        if gateway.speaks > DATA_PLANE.lowest:
            self._send_next()
