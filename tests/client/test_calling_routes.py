"""Calls of load-balanced endpoints: the request that is sent is the one that the replica's framework expects."""

import datetime as dt
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from typing import Annotated, Any

import pytest
from fastapi import Body, Depends, FastAPI, Header, Query, Request
from fastapi.testclient import TestClient
from pydantic import BaseModel
from tests.client.conftest import Answer, Gateway

from flashcore import LoadBalancedEndpoint, NotFound, RemoteError, Unavailable, UsageError
from flashcore.client.route_calls import request_of
from flashcore.model.manifest import Route
from flashcore.model.names import EndpointName

web = LoadBalancedEndpoint("web")


class Colour(Enum):
    """A choice."""

    RED = "red"


class Item(BaseModel):
    """A document."""

    name: str
    when: dt.date | None = None


@dataclass
class Box:
    """A document too."""

    size: int


def scalars(
    item_id: int,
    verbose: bool = False,  # noqa: FBT001, FBT002 - a query parameter
    q: str | None = None,
    colour: Colour = Colour.RED,
) -> Any:
    """Path and query."""
    return [item_id, verbose, q, colour]


def one_document(item: Item) -> Any:
    """The body as a whole."""
    return ["item", item.name, str(item.when)]


def two_documents(item: Item, box: Box, *, dry: bool = True) -> Any:
    """The body by names."""
    return [item.name, box.size, dry]


def plain_document(values: dict[str, int], factor: int = 1) -> Any:
    """A body without a model."""
    return {key: value * factor for key, value in values.items()}


def a_list(numbers: list[int]) -> Any:
    """A list is a body."""
    return sum(numbers)


def listed_query(numbers: Annotated[list[int], Query()], x_token: Annotated[str, Header()] = "") -> Any:
    """A list in the query, and a header."""
    return [numbers, x_token]


def embedded(number: int = Body(3), other: int = Body(4)) -> Any:
    """Scalars in the body, because they say so."""
    return [number, other]


def with_dependency(name: str, request: Request, user: Annotated[str, Depends(lambda: "jo")] = "") -> Any:
    """What the server provides is left to it."""
    return [name, user, request.method]


def any_path(rest: str) -> Any:
    """A parameter that takes slashes."""
    return rest


DATE = dt.date(2026, 11, 22)

CASES: list[tuple[str, str, Callable[..., Any], tuple[Any, ...], dict[str, Any], Any]] = [
    ("GET", "/items/{item_id}", scalars, (3,), {}, [3, False, None, "red"]),
    ("GET", "/items/{item_id}", scalars, (3, True), {"q": "a b/ü&"}, [3, True, "a b/ü&", "red"]),
    (
        "DELETE",
        "/items/{item_id}",
        scalars,
        (),
        {"item_id": 4, "colour": Colour.RED, "q": None},
        [4, False, None, "red"],
    ),
    ("POST", "/items", one_document, (Item(name="x", when=DATE),), {}, ["item", "x", "2026-11-22"]),
    ("POST", "/items", one_document, ({"name": "y"},), {}, ["item", "y", "None"]),
    ("PUT", "/both", two_documents, (Item(name="x"), Box(2)), {"dry": False}, ["x", 2, False]),
    ("PATCH", "/plain", plain_document, ({"a": 1},), {"factor": 2}, {"a": 2}),
    ("POST", "/list", a_list, ([1, 2, 3],), {}, 6),
    ("GET", "/query", listed_query, ([1, 2],), {"x_token": "s"}, [[1, 2], "s"]),
    ("POST", "/embedded", embedded, (5,), {}, [5, 4]),
    ("GET", "/files/{rest:path}", any_path, ("a/b c",), {}, "a/b c"),
    ("GET", "/name/{rest}", any_path, ("ä?#%",), {}, "ä?#%"),
]


@pytest.mark.parametrize(("method", "path", "function", "args", "kwargs", "expected"), CASES)
def test_arguments_arrive_where_the_framework_looks(
    method: str, path: str, function: Callable[..., Any], args: Any, kwargs: Any, expected: Any
) -> None:
    """The function gets what the caller gave, as if it had been called directly."""
    app = FastAPI()
    app.add_api_route(f"/web{path}", function, methods=[method])

    sent = request_of(EndpointName("web"), Route(method, path), function, args, kwargs)
    got = TestClient(app).request(sent.method, sent.target, content=b"".join(sent.pieces), headers=dict(sent.headers))

    assert (got.status_code, got.json()) == (200, expected)


def test_what_the_server_provides_cannot_be_given() -> None:
    """Instead of being dropped silently."""
    route = Route("GET", "/x")

    assert request_of(EndpointName("web"), route, with_dependency, ("a",), {"request": None}).target == "/web/x?name=a"
    with pytest.raises(UsageError, match="user cannot be given here"):
        request_of(EndpointName("web"), route, with_dependency, ("a", None), {"user": "me"})


@web.get("/items/{item_id}")
async def item(item_id: int, *, verbose: bool = False) -> dict[str, Any]:
    """One item."""
    return {"id": item_id, "verbose": verbose}


@web.post("/items")
def create(values: dict[str, Any]) -> str:
    """Make one."""
    return "made"


@web.websocket("/talk")
async def talk(socket: str) -> None:
    """As if it were one."""


async def test_a_websocket_is_opened_and_not_called(gateway: Gateway) -> None:
    """There is no answer to wait for."""
    with pytest.raises(UsageError, match="open it with a WebSocket client, at /web/talk of the gateway"):
        await talk("a")
    assert gateway.seen == []


async def test_a_route_is_called_like_a_function(gateway: Gateway) -> None:
    """Awaited or blocking, many at a time, or here."""
    gateway.answer = lambda seen: Answer(body={"at": seen.target})

    assert await item(3) == {"at": "/web/items/3"}
    assert item.remote(3, verbose=True) == {"at": "/web/items/3?verbose=true"}
    assert list(item.map([1, 2])) == [{"at": "/web/items/1"}, {"at": "/web/items/2"}]
    assert await item.local(5) == {"id": 5, "verbose": False}


def test_the_body_is_json(gateway: Gateway) -> None:
    """A document travels as the framework reads it."""
    gateway.answer = lambda _: Answer(201, "made")

    assert create.remote({"a": [1]}) == "made"
    assert (gateway.seen[0].method, gateway.seen[0].body) == ("POST", b'{"a":[1]}')
    assert gateway.seen[0].headers["content-type"] == "application/json"


@pytest.mark.parametrize(
    ("kind", "body", "value"),
    [
        ("text/plain; charset=utf-8", "grün".encode(), "grün"),
        ("image/png", b"\x89", b"\x89"),
        ("text/plain", b"", None),
    ],
)
def test_other_answers_are_text_or_bytes(gateway: Gateway, kind: str, body: bytes, value: Any) -> None:
    """By the content type that the route gave."""
    gateway.answer = lambda _: Answer(body=body, headers={"Content-Type": kind})

    assert item.remote(1) == value


def test_wrong_arguments_are_pythons_own_error() -> None:
    """A missing or unknown argument is found before anything is sent."""
    with pytest.raises(TypeError, match="missing a required argument: 'item_id'"):
        item.remote()  # type: ignore[call-arg]  # on purpose
    with pytest.raises(TypeError, match="unexpected keyword argument 'x'"):
        item.remote(1, x=2)  # type: ignore[call-arg]  # on purpose


def test_an_argument_that_is_no_json_is_named(gateway: Gateway) -> None:
    """As with queue endpoints."""
    with pytest.raises(UsageError, match=r"web POST /items: values\['a'\] cannot be sent: it is of type set"):
        create.remote({"a": {1}})


@pytest.mark.parametrize(
    ("status", "body", "kind", "message"),
    [
        (404, {"error": {"code": "no_endpoint", "message": "no such endpoint"}}, NotFound, "no such endpoint"),
        (503, {"error": {"code": "no_replica", "message": "none ready"}}, Unavailable, "none ready"),
        (422, {"detail": [{"loc": ["query", "x"], "msg": "missing"}]}, RemoteError, "missing"),
        (500, b"Internal Server Error", RemoteError, "Internal Server Error"),
        (418, {"detail": "teapot"}, RemoteError, "teapot"),
    ],
)
def test_errors_have_types(gateway: Gateway, status: int, body: Any, kind: type[Exception], message: str) -> None:
    """The gateway's own, the framework's and the function's."""
    gateway.answer = lambda _: Answer(status, body)

    with pytest.raises(kind, match=message):
        item.remote(1)


def test_an_error_in_the_function_has_its_traceback(gateway: Gateway) -> None:
    """The same as with jobs."""
    told = {"error_type": "ValueError", "error_message": "bad", "error_traceback": "Traceback: here"}
    gateway.answer = lambda _: Answer(500, {"error": told})

    with pytest.raises(RemoteError) as caught:
        item.remote(1)

    assert (caught.value.type_name, caught.value.remote_traceback) == ("ValueError", "Traceback: here")


async def test_a_replica_calls_its_own_routes_in_the_process(gateway: Gateway, monkeypatch: Any) -> None:
    """As with queues."""
    monkeypatch.setenv("FLASHCORE_ENDPOINT", "web")

    assert await item(3) == {"id": 3, "verbose": False}
    assert create.remote({}) == "made"
    assert gateway.seen == []


@pytest.mark.parametrize("name", ["spawn", "spawn_async", "job"])
def test_a_route_makes_no_jobs_and_says_what_does(name: str) -> None:
    """Nobody would keep its answer: a request ends with it."""
    endpoint = LoadBalancedEndpoint("answers")
    route = endpoint.get("/scalars")(scalars)

    with pytest.raises(AttributeError) as caught:
        getattr(route, name)

    said = str(caught.value)
    assert f"GET /scalars of endpoint answers is called over HTTP and has no {name}" in said
    assert "QueueEndpoint" in said
    assert not hasattr(route, name)
    with pytest.raises(AttributeError, match="has no attribute 'spown'"):
        getattr(route, "spown")  # noqa: B009 - there is none of that name for a type checker
