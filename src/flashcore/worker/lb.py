"""The HTTP app of a load-balanced endpoint, and the server that runs it in a replica. FastAPI is needed here alone."""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import functools
import importlib.util
import inspect
import json
import os
import socket
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, TypeVar, get_args, get_type_hints

import uvicorn
from fastapi import FastAPI, HTTPException, Response, WebSocketDisconnect, WebSocketException
from fastapi.responses import StreamingResponse

from flashcore.model.codec import to_json
from flashcore.model.manifest import WEBSOCKET, Route
from flashcore.worker.call import encode_item
from flashcore.worker.direct import SealedRequests
from flashcore.worker.failure import failure_of
from flashcore.worker.functions import CallKind, FunctionTable, Invocation, LoadedFunction
from flashcore.worker.guard import DRAINING_HEADER, Application, Receive, Scope, Send
from flashcore.worker.http_logging import quieten
from flashcore.worker.plain import encode
from flashcore.worker.pool import ThreadPool

T = TypeVar("T")

DEFAULT_THREADS = 40
"""For plain functions under somebody else's server; in a replica: the endpoint's max_concurrency."""

KEEP_ALIVE = 75
"""Seconds that an idle connection stays open; the gateway keeps its connections for less."""

_FAILED = 1011
"""The code with which a WebSocket is closed whose function has failed; as of RFC 6455, 7.4."""
_LONGEST_REASON = 123

_JSON_LINES = "application/jsonl"
_END = object()


def create_app(functions: FunctionTable | Callable[[], FunctionTable]) -> FastAPI:
    """The app: one route per function that has one, WebSockets among them, and `/ping`.

    Parameters are FastAPI's: path, query, body, headers, files, dependencies. Results are JSON by `worker.plain`,
    unless the function returns a Response, or is annotated to return a pydantic model, which filters as in FastAPI.
    Generators stream JSON lines. An exception is answered with 500 and its type, message and traceback.

    Given a function that loads the table, the app starts at once and loads in a thread: meanwhile `/ping` is answered
    204 and everything else 503, for hosts that ask while they wait. A replica of ours loads before it listens.
    """
    pool = ThreadPool(int(os.environ.get("FLASHCORE_SLOTS") or DEFAULT_THREADS))
    app = _app_of(functions, _Serving(pool))
    app.state.pool = pool
    return app


def pool_of(app: Application) -> ThreadPool | None:
    """The threads of plain functions, where `create_app` has made the app."""
    pool = getattr(getattr(app, "state", None), "pool", None)
    return pool if isinstance(pool, ThreadPool) else None


def _app_of(functions: FunctionTable | Callable[[], FunctionTable], serving: _Serving) -> FastAPI:
    if isinstance(functions, FunctionTable):
        app = FastAPI()
        app.add_api_route("/ping", _ready, methods=["GET"], include_in_schema=False)
        serving.add_routes(app, functions)
        app.add_middleware(SealedRequests, functions=functions, run=serving.result_of)
        return app
    loading = _Loading(functions, serving)
    app = FastAPI(lifespan=loading.lifespan)
    app.add_api_route("/ping", loading.ping, methods=["GET"], include_in_schema=False)
    app.add_middleware(_UntilLoaded, loading=loading)
    return app


def empty_app() -> FastAPI:
    """An app without functions, to rehearse with: it starts nothing, nor threads that export telemetry."""
    return FastAPI(telemetry={"auto_configure": False})


async def _ready() -> Response:
    return Response()


class _Loading:
    """Loads the functions after the app has started."""

    def __init__(self, load: Callable[[], FunctionTable], serving: _Serving) -> None:
        self._load = load
        self._serving = serving
        self.done = False
        self._failure: Response | None = None

    @contextlib.asynccontextmanager
    async def lifespan(self, app: FastAPI) -> AsyncIterator[None]:
        """Load beside the running app."""
        task = asyncio.create_task(self._load_into(app))
        yield
        task.cancel()

    async def ping(self) -> Response:
        """200 ready, 204 loading, 500 when the code could not be loaded."""
        return self._failure or Response(status_code=200 if self.done else 204)

    async def _load_into(self, app: FastAPI) -> None:
        try:
            self._serving.add_routes(app, await asyncio.to_thread(self._load))
            self.done = True
        except (Exception, SystemExit) as error:  # noqa: BLE001 - user code may raise anything while it is imported
            self._failure = _failed(error)


class _UntilLoaded:
    """Answers 503 to what comes before the functions are there."""

    def __init__(self, app: Application, loading: _Loading) -> None:
        self._app = app
        self._loading = loading

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if self._loading.done or scope["type"] != "http" or scope["path"] == "/ping":
            await self._app(scope, receive, send)
        else:
            await Response(status_code=503, headers={"retry-after": "1"})(scope, receive, send)


class _Serving:
    """Turns the functions of an endpoint into FastAPI's path operations."""

    def __init__(self, pool: ThreadPool) -> None:
        self._pool = pool

    def add_routes(self, app: FastAPI, functions: FunctionTable) -> None:
        """Add one route for each function that has one, in the order of the table."""
        for function in functions:
            if isinstance(function, LoadedFunction) and function.entry.route is not None:
                self._add_route(app, function, function.entry.route)

    async def result_of(self, invocation: Invocation) -> Any:
        """What a function gives for arguments that are no request's; of a generator, the list of its items."""
        if invocation.kind is CallKind.ASYNC_GENERATOR:
            return [item async for item in invocation.begin()]
        if invocation.kind is CallKind.GENERATOR:
            return await self._in_thread(lambda: list(invocation.begin()))
        if invocation.kind.on_loop:
            return await invocation.begin()
        value = await self._in_thread(invocation.begin)
        return await value if inspect.isawaitable(value) else value

    def _add_route(self, app: FastAPI, function: LoadedFunction, route: Route) -> None:
        if route.method == WEBSOCKET:
            _load_websockets()
            app.add_api_websocket_route(route.path, _conversation(function), name=function.entry.name)
            return
        filtered = _returns_model(function.target)
        options: dict[str, Any] = {} if filtered else {"response_model": None}
        operation = self._operation(function, _as_it_is if filtered else _answer)
        app.add_api_route(route.path, operation, methods=[route.method], name=function.entry.name, **options)

    def _operation(self, function: LoadedFunction, answer: Callable[[Any], Any]) -> Callable[..., Awaitable[Any]]:
        """A coroutine function with the parameters of the user's."""

        async def operation(*args: Any, **kwargs: Any) -> Any:
            try:
                if function.kind.streams:
                    return StreamingResponse(self._lines(function, args, kwargs), media_type=_JSON_LINES)
                return answer(await self._value(function, args, kwargs))
            except HTTPException:
                raise
            except _GivenUp:
                return Response(status_code=503, headers=_GOING)
            except (Exception, SystemExit) as error:  # noqa: BLE001 - user code may raise anything; the caller is told what
                return _failed(error)

        return _in_place_of(function, operation)

    async def _value(self, function: LoadedFunction, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        if function.kind.on_loop:
            return await function.target(*args, **kwargs)
        value = await self._in_thread(functools.partial(function.target, *args, **kwargs))
        return await value if inspect.isawaitable(value) else value

    async def _lines(
        self, function: LoadedFunction, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> AsyncIterator[bytes]:
        """Each item as a line. What goes wrong cuts the answer off, since its status is sent; the server logs it."""
        position = 0
        async for item in self._items(function, args, kwargs):
            yield encode_item(item, position) + b"\n"
            position += 1

    async def _items(
        self, function: LoadedFunction, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> AsyncIterator[Any]:
        if function.kind is CallKind.ASYNC_GENERATOR:
            async for item in function.target(*args, **kwargs):
                yield item
            return
        items = await self._in_thread(functools.partial(function.target, *args, **kwargs))
        while (item := await self._in_thread(functools.partial(next, items, _END))) is not _END:
            yield item

    async def _in_thread(self, work: Callable[[], T]) -> T:
        """Run it in the endpoint's pool, with what this request knows of itself."""
        loop = asyncio.get_running_loop()
        future: asyncio.Future[T] = loop.create_future()
        context = contextvars.copy_context()

        def run() -> None:
            try:
                if self._pool.is_over:
                    raise _GivenUp
                value = context.run(work)
            except BaseException as error:  # noqa: BLE001 - it is raised again where it is awaited
                loop.call_soon_threadsafe(_settle, future, None, error)
            else:
                loop.call_soon_threadsafe(_settle, future, value, None)

        self._pool.submit(run)
        return await future


def _conversation(function: LoadedFunction) -> Callable[..., Awaitable[Any]]:
    """A coroutine function with the parameters of the user's, for one WebSocket."""

    async def operation(*args: Any, **kwargs: Any) -> None:
        try:
            await function.target(*args, **kwargs)
        except WebSocketDisconnect:
            return  # the client left, or this replica drains: the function was told so, and had nothing left to do
        except WebSocketException:
            raise
        except (Exception, SystemExit) as error:  # noqa: BLE001 - as for a request
            failure = failure_of(error)
            sys.stderr.write(failure.error_traceback)
            raise WebSocketException(_FAILED, _reason(f"{failure.error_type}: {failure.error_message}")) from None

    return _in_place_of(function, operation)


def _reason(text: str) -> str:
    """As much of it as fits into the frame that closes a WebSocket."""
    return text.encode()[:_LONGEST_REASON].decode(errors="ignore")


def _in_place_of(function: LoadedFunction, operation: Callable[..., Awaitable[Any]]) -> Callable[..., Awaitable[Any]]:
    """The operation, as FastAPI is to see it: with the name and the parameters of the user's function."""
    functools.update_wrapper(operation, function.target)
    # FastAPI looks through __wrapped__ and would take a wrapped generator for one.
    del operation.__wrapped__  # type: ignore[attr-defined]  # update_wrapper has set it
    operation.__signature__ = inspect.signature(function.target, eval_str=True)  # type: ignore[attr-defined]  # read by inspect
    return operation


class _GivenUp(Exception):
    """No thread comes free in this replica any more."""


_GOING = {DRAINING_HEADER.decode(): "1", "connection": "close"}
"""As whoever comes to a replica that drains is told: gateways go elsewhere."""


def _settle(future: asyncio.Future[Any], value: Any, error: BaseException | None) -> None:
    if future.done():
        return  # the request was cancelled meanwhile
    if isinstance(error, StopIteration):  # it cannot be raised into a coroutine
        error = RuntimeError("the function raised StopIteration")
    if error is not None:
        future.set_exception(error)
    else:
        future.set_result(value)


def _as_it_is(value: Any) -> Any:
    return value


def _answer(value: Any) -> Response:
    return value if isinstance(value, Response) else Response(encode(value), media_type="application/json")


def _failed(error: BaseException) -> Response:
    failure = failure_of(error)
    sys.stderr.write(failure.error_traceback)
    return Response(json.dumps(to_json(failure)), status_code=500, media_type="application/json")


def _returns_model(target: Callable[..., Any]) -> bool:
    """Whether the return annotation speaks of a pydantic model."""
    try:
        returned = get_type_hints(target).get("return")
    except Exception:  # noqa: BLE001 - an annotation that cannot be resolved here says nothing; FastAPI does not need it
        return False
    return _speaks_of_model(returned)


def _speaks_of_model(annotation: Any) -> bool:
    if isinstance(annotation, type) and hasattr(annotation, "model_validate"):
        return True
    return any(_speaks_of_model(argument) for argument in get_args(annotation))


def server_loop() -> asyncio.AbstractEventLoop:
    """A new event loop of the quickest kind that is installed."""
    # With uvicorn's own configuration of logging, the handlers that user code has made would be closed here.
    factory = uvicorn.Config("", log_config=None).get_loop_factory()
    return factory() if factory is not None else asyncio.new_event_loop()


def _http_protocol() -> Any:
    """Ours, where httptools is installed; it is quicker than uvicorn's other one, and takes large calls in at once."""
    try:
        from flashcore.worker.intake import IntakeProtocol
    except ImportError:
        return "auto"
    return IntakeProtocol


def _load_websockets() -> Any:
    """What speaks WebSockets, None where nothing is installed that does.

    Imported with the first route for them, or when the first of them is opened: most endpoints have no use for it.
    """
    from uvicorn.protocols.websockets.auto import AutoWebSocketsProtocol

    return AutoWebSocketsProtocol


def _websocket_protocol(**given: Any) -> Any:
    return _load_websockets()(**given)


def load_server(app: Application) -> None:
    """Import everything that `HttpServer` takes to serve this app: it would do so itself, after the fork.

    A loop is made, too, and closed: its library is in memory then, and makes its own things anew in each fork.
    """
    _config(app).load()
    server_loop().close()


def _config(app: Application) -> uvicorn.Config:
    quieten()
    return uvicorn.Config(
        app,
        http=_http_protocol(),
        ws=_websocket_protocol if importlib.util.find_spec("websockets") else "none",  # type: ignore[arg-type]  # it makes one
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        timeout_keep_alive=KEEP_ALIVE,
        timeout_graceful_shutdown=1,
    )


class HttpServer(uvicorn.Server):
    """Serves one app on one Unix socket, in the main thread."""

    def __init__(self, app: Application, accepting: Callable[[], None]) -> None:
        super().__init__(_config(app))
        self._accepting = accepting
        self._ending = asyncio.Event()

    async def serve_on(self, listener: socket.socket) -> None:
        """Serve until `finish`. Raises SystemExit if the app refuses to start."""
        await self._serve(sockets=[listener])

    def finish(self) -> None:
        """Stop listening and let `serve_on` return; on its loop."""
        self.should_exit = True
        self._ending.set()

    async def abandon(self) -> None:
        """Stop listening, and end the app; connections are left as they are. `finish` takes a tenth of a second."""
        for server in self.servers:
            server.close()
        await self.lifespan.shutdown()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start, and say when connections are accepted."""
        await super().startup(sockets)
        if self.started:
            self._accepting()

    async def main_loop(self) -> None:
        """Wait for the end; the base class looks ten times a second whether it has come."""
        while not self.should_exit:
            await self.on_tick(0)  # renews the date header
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(1.0):
                    await self._ending.wait()
