"""The manifest: what stands in it, and what cannot."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.build.conftest import Project

from flashcore import BuildError
from flashcore.build.schema import manifest_schema
from flashcore.canonical import canonical_bytes
from flashcore.model.manifest import MANIFEST_FILE, Route, manifest_from_json

ProjectWriter = Callable[..., Project]

APP = '''
from flashcore import LoadBalancedEndpoint, QueueEndpoint
q = QueueEndpoint("q", secrets=["HF_TOKEN"], plugins={"acme": {"deep": [1, {"x": None}]}})
web = LoadBalancedEndpoint("web")

@q.function
def plain(a, /, b: int, *rest, c: "str" = "x", d=None, **more):
    """First line.

    Second.
    """

class Base:
    def inherited(self, k: int = 5) -> list[str]: ...
    @property
    def shown(self): ...

@q.function
class Index(Base):
    """An index."""
    def __init__(self, path: str = "idx"): ...
    def search(self, query: str): ...
    @staticmethod
    def version(x): ...
    async def stream(self):
        """Items."""
        yield 1
    def _private(self): ...

@web.route("head", "/items/{item_id}")
async def item(item_id: int): ...

@web.websocket("/talk/{room}")
async def talk(socket, room: str): ...
'''


def test_b20_it_is_canonical_json_that_reads_back(project: ProjectWriter) -> None:
    """B20: RFC 8785: other languages come to the same digest."""
    made = project(app=APP)
    result = made.build()

    written = (result.directory / MANIFEST_FILE).read_bytes()

    assert manifest_from_json(json.loads(written)) == result.manifest
    assert written == canonical_bytes(json.loads(written)) + b"\n"


def test_b20_a_newer_one_is_refused_and_what_is_unknown_survives(project: ProjectWriter) -> None:
    """B20: a field that a plugin added is still there after a round trip."""
    made = project(app=APP)
    document = json.loads((made.build().directory / MANIFEST_FILE).read_bytes())
    document["acme_audit"] = {"by": "jo"}
    document["endpoints"][0]["template"]["acme_zone"] = "a"

    read = manifest_from_json(document)

    assert read.extra["acme_audit"] == {"by": "jo"}
    assert read.endpoints[0].template.extra == {"acme_zone": "a"}
    with pytest.raises(BuildError, match="upgrade flashcore-framework"):
        manifest_from_json({**document, "manifest_version": 2})


def test_b20_the_published_schema_is_the_one_of_the_code(repository: Path) -> None:
    """B20: written by hand, it would be wrong soon: see the head of build/schema.py for how it is made."""
    published = json.loads((repository / "docs" / "manifest.schema.json").read_text())

    assert published == manifest_schema()


def test_b24_functions_are_described_as_their_source_shows_them(project: ProjectWriter) -> None:
    """B24: kinds, parameters with annotations and defaults, first line of the docstring, routes, methods."""
    found = project(app=APP).functions()

    plain = found["plain"]
    assert [(one.name, one.kind.value, one.annotation, one.default) for one in plain.parameters] == [
        ("a", "positional_only", None, None),
        ("b", "positional_or_keyword", "int", None),
        ("rest", "var_positional", None, None),
        ("c", "keyword_only", "'str'", "'x'"),
        ("d", "keyword_only", None, "None"),
        ("more", "var_keyword", None, None),
    ]
    assert (plain.doc, plain.module, plain.qualified_name, plain.line) == ("First line.", "app.py", "plain", 7)
    assert found["item"].route == Route("HEAD", "/items/{item_id}")
    assert found["talk"].route == Route("WEBSOCKET", "/talk/{room}")


def test_b36_classes_have_their_constructor_and_public_methods(project: ProjectWriter) -> None:
    """B36: inherited ones too; properties and private methods cannot be called."""
    entry = project(app=APP).functions()["Index"]

    assert [(one.name, one.default) for one in entry.parameters] == [("path", "'idx'")]
    assert {one.name: (one.kind.value, [p.name for p in one.parameters]) for one in entry.methods} == {
        "inherited": ("function", ["k"]),
        "search": ("function", ["query"]),
        "stream": ("async_generator", []),
        "version": ("function", ["x"]),
    }
    assert entry.methods[2].doc == "Items."


def test_b23_secrets_are_names_alone(project: ProjectWriter, monkeypatch: pytest.MonkeyPatch) -> None:
    """B23: the value is in the environment of the build, and nowhere in what it made."""
    monkeypatch.setenv("HF_TOKEN", "hf_s3cret")

    result = project(app=APP).build()

    entry = result.manifest.endpoint("q")
    assert entry is not None
    assert entry.template.secrets == ("HF_TOKEN",)
    for path in (*result.artifacts.values(), *result.directory.iterdir()):
        assert b"hf_s3cret" not in path.read_bytes()


def test_the_declarations_place_is_kept(project: ProjectWriter) -> None:
    """So that people find it."""
    assert project(app=APP).endpoint("web").declared_at == "app.py:4"


CLASHES = """
from flashcore import LoadBalancedEndpoint, QueueEndpoint
web = LoadBalancedEndpoint("web")
one = QueueEndpoint("same")
two = QueueEndpoint("same")
@one.function
def f(): ...
@two.function
def g(): ...
"""

ROUTES = {
    '@web.get("/a/{x}")\ndef h(x): ...\n@web.get("/a/{y}")\ndef i(y): ...': (
        "GET /a/{y} means the same requests as /a/{x} at app.py:11:1"
    ),
    '@web.post("/a")\ndef h(): ...\n@web.route("post", "/a")\ndef i(): ...': "POST /a means the same requests as /a",
    '@web.get("/ping")\ndef h(): ...': "GET /ping: the replica's server answers this path itself",
    '@web.get("/execute")\ndef h(): ...': "GET /execute: the replica's server",
    '@web.get("/openapi.json")\ndef h(): ...': "GET /openapi.json: the replica's server",
    '@web.get("items")\ndef h(): ...': "the path does not start with a slash",
    '@web.get("/a/{x}")\ndef h(): ...': "h() has no parameter 'x'",
    '@web.get("/a/{x")\ndef h(x): ...': "the path cannot be read",
    '@web.get("/{x}/{x}")\ndef h(x): ...': "the placeholder 'x' occurs twice",
    '@web.get("/{x:date}")\ndef h(x): ...': "there is no kind of placeholder 'date'",
    '@web.route("BREW", "/a")\ndef h(): ...': "there is no method BREW",
    '@web.websocket("/a")\ndef h(socket): ...': "WEBSOCKET /a: a WebSocket is served by a coroutine function",
    '@web.get("/a")\nclass H: ...': "a route cannot serve the class H",
}


@pytest.mark.parametrize("routes", ROUTES)
def test_b22_routes_that_cannot_be_are_refused_with_both_places(project: ProjectWriter, routes: str) -> None:
    """B22: two templates that match the same requests clash, whatever their placeholders are called."""
    made = project(app=CLASHES.replace("two = Q", "other = Q").replace("@two", "@one") + routes + "\n")

    assert ROUTES[routes] in made.refusal()


def test_b22_routes_that_differ_may_be(project: ProjectWriter) -> None:
    """B22: by method, by length, by a fixed part; `**kwargs` takes any placeholder."""
    routes = '@web.get("/a/{x}")\ndef h(x): ...\n@web.put("/a/{y}")\ndef i(y): ...\n@web.get("/a/b")\ndef j(): ...\n'
    routes += '@web.get("/a/{z}/c")\ndef k(**any): ...\n'
    made = project(app='from flashcore import *\nweb = LoadBalancedEndpoint("web")\n' + routes)

    assert len(made.functions()) == 4


def test_b22_two_endpoints_of_one_name_are_refused_with_both_places(project: ProjectWriter) -> None:
    """B22: in one file or two."""
    made = project(app=CLASHES)

    assert "app.py:5:7: there is another endpoint 'same', at app.py:4:7" in made.refusal()


def test_b22_two_functions_of_one_name_are_refused_with_both_places(project: ProjectWriter) -> None:
    """B22: callers could not say which."""
    made = project(
        {
            "a.py": "from flashcore import QueueEndpoint\nq = QueueEndpoint('q')\n@q.function\ndef f(): ...\n",
            "b.py": "from a import q\n@q.function\ndef f(): ...\n",
        }
    )

    assert "b.py:3:1: the endpoint has another function f, at a.py:4:1" in made.refusal()


def test_plugins_may_amend_the_manifest(project: ProjectWriter) -> None:
    """The hook is asked once, with the whole."""
    from dataclasses import replace
    from typing import Any, cast

    from flashcore.build.project import build
    from flashcore.model.manifest import Manifest
    from flashcore.registry.registry import Registry

    made = project(app=APP)

    class Amending:
        """The registry, with a plugin that adds a note."""

        def amend_manifest(self, manifest: Manifest) -> Manifest:
            """Add a note."""
            return replace(manifest, extra={**manifest.extra, "acme": "seen"})

        def __getattr__(self, name: str) -> Any:
            return getattr(made.registry, name)

    result = build(made.root, app="shop", registry=cast("Registry", Amending()))

    assert result.manifest.extra["acme"] == "seen"
    assert json.loads((result.directory / MANIFEST_FILE).read_bytes())["acme"] == "seen"
