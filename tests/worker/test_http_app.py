"""The app of a load-balanced endpoint: routes, parameters, results, errors."""

import asyncio
import json
import os
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Annotated, Any

import pytest
from fastapi import (
    FastAPI,
    Header,
    HTTPException,
    Response,
    UploadFile,
    WebSocket,
    WebSocketDisconnect,
    WebSocketException,
)
from fastapi.testclient import TestClient
from pydantic import BaseModel
from tests.worker.conftest import function

from flashcore.model.manifest import WEBSOCKET, Route
from flashcore.wire import seal
from flashcore.wire.envelope import Call
from flashcore.wire.seal import SigningKey, new_stamp
from flashcore.wire.sealed import KEY_VARIABLE, seal_call
from flashcore.worker.functions import FunctionTable, LoadedFunction
from flashcore.worker.lb import create_app

Serve = Callable[..., TestClient]


def table(**routes: Callable[..., Any]) -> FunctionTable:
    """Functions by route, as in `get_items_item_id`."""
    return FunctionTable([_loaded(spec, target) for spec, target in routes.items()])


def _loaded(spec: str, target: Callable[..., Any]) -> LoadedFunction:
    method, _, path = spec.partition("_")
    return LoadedFunction(function(target.__name__, route=Route(method.upper(), f"/{path}")), target)


def client(app: FastAPI) -> AbstractContextManager[TestClient]:
    """A client around the running app; exceptions are answers, as for any caller."""
    return TestClient(app, raise_server_exceptions=False)


class Item(BaseModel):
    """What is posted."""

    name: str
    price: float = 1.0


class Shown(BaseModel):
    """What callers may see of an account."""

    name: str


@dataclass
class Point:
    """A result of the user's own type."""

    x: int


def test_parameters_come_from_path_query_body_header_and_files() -> None:
    """All the places where FastAPI looks for them."""

    async def show(item_id: int, item: Item, verbose: bool = False, agent: Annotated[str, Header()] = "") -> Any:  # noqa: FBT001, FBT002 - as users write it
        return [item_id, item, verbose, agent]

    def upload(file: UploadFile) -> Any:
        return {"name": file.filename, "content": file.file.read()}

    app = create_app(
        FunctionTable(
            [
                LoadedFunction(function("show", route=Route("POST", "/items/{item_id}")), show),
                LoadedFunction(function("upload", route=Route("PUT", "/files")), upload),
            ]
        )
    )
    with client(app) as caller:
        shown = caller.post("/items/7?verbose=yes", json={"name": "n"}, headers={"agent": "a"})
        uploaded = caller.put("/files", files={"file": ("f.bin", b"\x00")})

        assert shown.json() == [7, {"name": "n", "price": 1.0}, True, "a"]
        assert uploaded.json() == {"name": "f.bin", "content": {"$bytes": "AA=="}}


def test_arguments_that_do_not_fit_are_a_422() -> None:
    """B35: FastAPI says which."""

    def show(x: int) -> int:
        return x

    with client(create_app(table(get_show=show))) as caller:
        assert caller.get("/show?x=many").status_code == 422
        assert caller.get("/show").json()["detail"][0]["loc"] == ["query", "x"]


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (None, None), (0, 0), ("", ""), ([], []), ({"error": 1}, {"error": 1}), (Point(1), {"x": 1}),
        (b"\x00", {"$bytes": "AA=="}), ({3, 1}, [1, 3]),
    ],
)  # fmt: skip
def test_results_are_the_same_json_as_those_of_jobs(value: Any, shown: Any) -> None:
    """B34: one mapping for both ways of calling."""

    def give() -> Any:
        return value

    async def give_slowly() -> Any:
        return value

    with client(create_app(table(get_a=give, get_b=give_slowly))) as caller:
        assert caller.get("/a").json() == shown
        assert caller.get("/b").json() == shown


def test_a_response_is_passed_on_as_it_is() -> None:
    """Whoever wants another status, header or type makes the response."""

    def teapot() -> Any:
        return Response("short and stout", status_code=418, media_type="text/plain")

    def missing() -> Any:
        raise HTTPException(404, "no such thing")

    with client(create_app(table(get_teapot=teapot, get_missing=missing))) as caller:
        assert (caller.get("/teapot").status_code, caller.get("/teapot").text) == (418, "short and stout")
        assert caller.get("/missing").json() == {"detail": "no such thing"}


def test_an_annotated_model_filters_what_is_returned() -> None:
    """As in FastAPI: a field that the model does not have is not told."""

    def account() -> list[Shown]:
        return [{"name": "n", "password": "p"}]  # type: ignore[list-item]  # as users do

    with client(create_app(table(get_account=account))) as caller:
        assert caller.get("/account").json() == [{"name": "n"}]


def test_an_exception_is_told_with_its_traceback(capsys: pytest.CaptureFixture[str]) -> None:
    """The names are those of failed jobs; the log has it, too."""

    def breaks() -> None:
        raise KeyError("gone")

    async def leaves() -> None:
        raise SystemExit(3)

    def bad() -> Any:
        return [float("nan")]

    with client(create_app(table(get_breaks=breaks, get_leaves=leaves, get_bad=bad))) as caller:
        told = caller.get("/breaks")
        assert told.status_code == 500
        assert (told.json()["error_type"], told.json()["error_message"]) == ("KeyError", "'gone'")
        assert told.json()["error_traceback"].count("File ") == 1
        assert caller.get("/leaves").json()["error_type"] == "SystemExit"
        assert caller.get("/bad").json()["error_message"].startswith("result[0] has no JSON form")
    assert "KeyError: 'gone'" in capsys.readouterr().err


@pytest.mark.parametrize("kind", ["plain", "async"])
def test_generators_stream_json_lines(kind: str) -> None:
    """One line for each item, of either kind of generator."""

    def count(n: int) -> Iterator[Any]:
        for number in range(n):
            yield {"n": number, "raw": b"\x00"}

    async def count_slowly(n: int) -> AsyncIterator[Any]:
        for number in range(n):
            yield {"n": number, "raw": b"\x00"}

    with client(create_app(table(get_count=count if kind == "plain" else count_slowly))) as caller:
        answer = caller.get("/count?n=3")

    assert answer.headers["content-type"].startswith("application/jsonl")
    assert [json.loads(line)["n"] for line in answer.text.splitlines()] == [0, 1, 2]


def test_plain_functions_run_in_as_many_threads_as_calls_are_allowed(monkeypatch: pytest.MonkeyPatch) -> None:
    """B38: two at a time, and the event loop answers meanwhile."""
    monkeypatch.setenv("FLASHCORE_SLOTS", "2")
    together = threading.Barrier(2)

    def meets() -> str:
        together.wait(60)
        return threading.current_thread().name

    with client(create_app(table(get_meets=meets))) as caller:
        answers: list[Any] = []
        threads = [threading.Thread(target=lambda: answers.append(caller.get("/meets").json())) for _ in range(4)]
        for thread in threads:
            thread.start()
        assert caller.get("/ping").status_code == 200
        for thread in threads:
            thread.join(60)

    assert len(answers) == 4
    assert len(set(answers)) == 2


def test_user_code_that_calls_with_json_is_called_with_pickles(monkeypatch: pytest.MonkeyPatch) -> None:
    """It empties the variable for its own calls; what the replica was given to check those of others stays."""
    monkeypatch.setenv("FLASHCORE_ENDPOINT", "web")
    monkeypatch.setenv(KEY_VARIABLE, "a key")

    def put_away() -> None:
        os.environ[KEY_VARIABLE] = ""

    key = SigningKey("a key")
    body = b"".join(bytes(piece) for piece in seal_call(key, "web", Call("put_away"), new_stamp(60.0)))
    with client(create_app(table(post_away=put_away))) as http:
        assert http.post("/away").status_code == 200
        answer = http.post("/away", content=body, headers={"content-type": seal.MEDIA})

    assert answer.status_code == 200, answer.text


def test_string_annotations_are_resolved_in_the_users_module() -> None:
    """`from __future__ import annotations` is no obstacle."""
    space: dict[str, Any] = {}
    module = (
        "from __future__ import annotations\nfrom pydantic import BaseModel\n"
        "class In(BaseModel):\n    n: int\n"
        "def f(body: In) -> int:\n    return body.n + 1\n"
    )
    exec(module, space)  # noqa: S102 - the module of a user

    with client(create_app(table(post_f=space["f"]))) as caller:
        assert caller.post("/f", json={"n": 1}).json() == 2


async def echo(socket: WebSocket, room: str, times: int = 1) -> None:
    """Every message back, until there is none."""
    await socket.accept()
    while True:
        await socket.send_text(f"{room}: {await socket.receive_text() * times}")


def test_a_websocket_is_served_by_a_function_with_parameters_of_its_own(capsys: pytest.CaptureFixture[str]) -> None:
    """Of the path and of the query. A client that leaves is no failure."""
    app = create_app(FunctionTable([LoadedFunction(function("echo", route=Route(WEBSOCKET, "/talk/{room}")), echo)]))
    with client(app) as caller, caller.websocket_connect("/talk/a?times=2") as socket:
        socket.send_text("x")
        assert socket.receive_text() == "a: xx"

    assert capsys.readouterr().err == ""


def test_a_websocket_whose_function_fails_is_closed_and_says_why(capsys: pytest.CaptureFixture[str]) -> None:
    """As far as there is room in the frame; the traceback is in the log."""

    async def fail(socket: WebSocket) -> None:
        await socket.accept()
        raise ValueError("é" * 200)

    with (
        client(create_app(table(websocket_talk=fail))) as caller,
        caller.websocket_connect("/talk") as socket,
        pytest.raises(WebSocketDisconnect) as closed,
    ):
        socket.receive_text()

    assert (closed.value.code, closed.value.reason[:14]) == (1011, "ValueError: éé")
    assert 121 < len(closed.value.reason.encode()) <= 123
    assert "in fail" in capsys.readouterr().err


def test_a_websocket_may_be_closed_with_a_code_of_its_own() -> None:
    """By FastAPI's own exception."""

    async def refuse(socket: WebSocket) -> None:
        await socket.accept()
        raise WebSocketException(1008, "not you")

    with (
        client(create_app(table(websocket_talk=refuse))) as caller,
        caller.websocket_connect("/talk") as socket,
        pytest.raises(WebSocketDisconnect) as closed,
    ):
        socket.receive_text()

    assert (closed.value.code, closed.value.reason) == (1008, "not you")


def test_ping_says_204_while_the_code_is_loaded() -> None:
    """For hosts that ask while they wait: 204, then 200; what comes too early is asked to come again."""
    go = threading.Event()

    def load() -> FunctionTable:
        go.wait(60)
        return table(get_f=lambda: "loaded")

    with client(create_app(load)) as caller:
        assert caller.get("/ping").status_code == 204
        early = caller.get("/f")
        assert (early.status_code, early.headers["retry-after"]) == (503, "1")
        go.set()
        _until(lambda: caller.get("/ping").status_code == 200)
        assert caller.get("/f").json() == "loaded"


def test_ping_tells_why_the_code_could_not_be_loaded() -> None:
    """The host sees a failing check; a person sees the traceback."""

    def load() -> FunctionTable:
        raise RuntimeError("no model")

    with client(create_app(load)) as caller:
        _until(lambda: caller.get("/ping").status_code == 500)
        assert caller.get("/ping").json()["error_message"] == "no model"


def _until(true: Callable[[], bool]) -> None:
    async def look() -> None:
        async with asyncio.timeout(60):
            while not true():  # noqa: ASYNC110 - what is waited for is an answer over HTTP
                await asyncio.sleep(0.01)

    asyncio.run(look())
