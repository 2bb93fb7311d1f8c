"""What is found in a project, and under which names it may stand there."""

from collections.abc import Callable

import pytest
from tests.build.conftest import Project

ProjectWriter = Callable[..., Project]


def test_b01_nothing_of_the_project_is_run(project: ProjectWriter, tmp_path: object) -> None:
    """B01: a file that exits, raises, or imports what is not installed here is scanned like any other."""
    made = project(
        app="""
        import a_package_that_is_not_installed
        from flashcore import QueueEndpoint
        gpu = QueueEndpoint("embed")

        @gpu.function
        def embed(texts): ...

        open("ran", "w")
        raise SystemExit(3)
        """
    )

    assert list(made.functions()) == ["embed"]
    assert not (made.root / "ran").exists()


def test_b02_all_kinds_of_functions_and_classes_are_found(project: ProjectWriter) -> None:
    """B02: functions, coroutines, generators, async generators and classes, also below `if` and `try`."""
    made = project(
        app="""
        import os
        from flashcore import QueueEndpoint
        q = QueueEndpoint("q")

        @q.function
        def plain(): return [(yield_) for yield_ in ()]

        @q.function
        async def coroutine():
            def inner():
                yield 1
            return inner

        if os.environ.get("X"):
            @q.function
            def generator():
                yield 1

        try:
            @q.function
            async def async_generator():
                yield 1
        except ImportError:
            pass

        @q.function
        class Kept: ...
        """
    )

    assert {name: entry.kind.value for name, entry in made.functions().items()} == {
        "plain": "function",
        "coroutine": "async_function",
        "generator": "generator",
        "async_generator": "async_generator",
        "Kept": "class",
    }


@pytest.mark.parametrize("path", ["pkg/__init__.py", "03_workers/a-b.py", "a/b/c/d.py", "mit leer/x.py", "src/p/m.py"])
def test_b02_functions_are_found_wherever_they_are(project: ProjectWriter, path: str) -> None:
    """B02: in packages, and in folders and files whose names Python could not import."""
    made = project(
        {
            path: """
            from flashcore import QueueEndpoint
            q = QueueEndpoint("q")
            @q.function
            def f(): ...
            """
        }
    )

    assert made.functions()["f"].module == path


def test_b02_functions_inside_of_functions_are_refused_with_their_name(project: ProjectWriter) -> None:
    """B02: replicas could not find them; neither endpoints that exist only once a function has run."""
    made = project(
        app="""
        from flashcore import QueueEndpoint
        q = QueueEndpoint("q")

        @q.function
        def outer():
            @q.function
            def inner(): ...

        class Group:
            @q.function
            def method(self): ...

        def make():
            return QueueEndpoint("made")
        """
    )

    message = made.refusal()

    assert "app.py:8:5: outer.inner is inside of outer: replicas cannot find it\n      define it at module" in message
    assert "app.py:12:5: Group.method is inside of Group: replicas cannot find it\n      decorate the class" in message
    assert "app.py:15:12: an endpoint is declared inside of make" in message


IMPORTS = {
    "import flashcore as fc": ("fc.QueueEndpoint", "fc.remote"),
    "import flashcore": ("flashcore.QueueEndpoint", "flashcore.remote"),
    "from flashcore import QueueEndpoint, remote": ("QueueEndpoint", "remote"),
    "from flashcore import QueueEndpoint as Q, remote as r": ("Q", "r"),
    "from flashcore import *": ("QueueEndpoint", "remote"),
    "from flashcore.client.endpoints import QueueEndpoint\nfrom flashcore.client.remote import remote": (
        "QueueEndpoint",
        "remote",
    ),
    "import flashcore.client.endpoints as e\nfrom flashcore import remote": ("e.QueueEndpoint", "remote"),
    "try:\n    from flashcore import QueueEndpoint, remote\nexcept ImportError:\n    QueueEndpoint = remote = None": (
        "QueueEndpoint",
        "remote",
    ),
}


@pytest.mark.parametrize("imports", IMPORTS)
def test_b03_names_are_resolved_however_they_were_imported(project: ProjectWriter, imports: str) -> None:
    """B03: aliases, modules, stars, fallbacks."""
    endpoint, remote = IMPORTS[imports]
    made = project(app=f"{imports}\nq = {endpoint}('q')\n@{remote}(q)\ndef f(): ...\n@q.function\ndef g(): ...\n")

    assert list(made.functions()) == ["f", "g"]


RESOURCES = """
from flashcore import QueueEndpoint
first = QueueEndpoint("first")
second = QueueEndpoint(name="second")
"""

USES = {
    "from shared.resources import first, second": ("first", "second"),
    "from shared.resources import first as a, second as b": ("a", "b"),
    "from .resources import first, second": ("first", "second"),
    "from ..shared.resources import first, second": ("first", "second"),
    "from . import resources": ("resources.first", "resources.second"),
    "import shared.resources": ("shared.resources.first", "shared.resources.second"),
    "import shared.resources as r": ("r.first", "r.second"),
    "from shared import resources as r": ("r.first", "r.second"),
    "from shared import first, again": ("first", "again"),
    "from shared.resources import *": ("first", "second"),
    "import resources": ("resources.first", "resources.second"),
}


@pytest.mark.parametrize("imports", USES)
def test_b03_endpoints_of_other_modules_are_known_there(project: ProjectWriter, imports: str) -> None:
    """B03: imported absolutely, relatively, aliased, re-exported, as an attribute, or as a script's neighbour."""
    first, second = USES[imports]
    made = project(
        {
            "shared/__init__.py": "from .resources import first\nfrom shared.resources import second as again\n",
            "shared/resources.py": RESOURCES,
            "shared/work.py": f"{imports}\n@{first}.function\ndef f(): ...\n@{second}.function\ndef g(): ...\n",
        }
    )
    if imports.startswith("from .."):
        made.write("__init__.py", "")
        made.write("shared/work.py", f"from .resources import first, second\n@{first}.function\ndef f(): ...\n")
        made.write("shared/deep/work.py", "from ..resources import second as s\n@s.function\ndef g(): ...\n")

    entries = {one.name: [entry.name for entry in one.functions] for one in made.build().manifest.endpoints}

    assert entries == {"first": ["f"], "second": ["g"]}


def test_b03_a_subclass_sets_defaults(project: ProjectWriter) -> None:
    """B03: as class attributes, in another module, two levels deep; what the call says comes last."""
    made = project(
        {
            "kinds.py": """
            from flashcore import QueueEndpoint
            COUNT = 3
            class OnGpu(QueueEndpoint):
                gpu = "any"
                replicas: tuple[int, int] = (0, COUNT)
            class OnBig(OnGpu):
                gpu = "H100"
            """,
            "app.py": """
            import kinds
            q = kinds.OnBig("q", memory="4Gi")
            @q.function
            def f(): ...
            """,
        }
    )

    found = made.declaration("q")

    assert (found.resource, found.template.gpu, found.template.memory) == ("queue", "H100", "4Gi")
    assert (found.policy.replicas.minimum, found.policy.replicas.maximum) == (0, 3)


KINDS = {
    "from kinds import OnGpu": "OnGpu",
    "import kinds": "kinds.OnGpu",
    "from kinds import Alias as A": "A",
    "from again import Kind": "Kind",
    "from again import *": "OnGpu",
}


@pytest.mark.parametrize("imports", KINDS)
def test_b03_endpoints_of_the_projects_own_classes_are_found_without_a_word_of_flashcore(
    project: ProjectWriter, imports: str
) -> None:
    """B03: also in a file without decorators, which gives its endpoint no function."""
    made = project(
        {
            "kinds.py": "import flashcore\nclass OnGpu(flashcore.QueueEndpoint):\n    gpu = 'any'\nAlias = OnGpu\n",
            "again.py": "from kinds import *\nfrom kinds import OnGpu as Kind\n",
            "declared.py": f"{imports}\nq = {KINDS[imports]}('q')\n",
        }
    )
    assert "declared.py:2:5: endpoint 'q': it has no functions" in made.refusal()

    made.write("work.py", "import declared\n@declared.q.function\ndef f(): ...\n")
    assert made.declaration("q").template.gpu == "any"


def test_b03_a_subclass_that_computes_is_refused(project: ProjectWriter) -> None:
    """B03: its constructor would have to be run."""
    made = project(
        app="""
        from flashcore import QueueEndpoint
        class Mine(QueueEndpoint):
            def __init__(self, name):
                super().__init__(name, gpu=input())
        q = Mine("q")
        @q.function
        def f(): ...
        """
    )

    assert "app.py:4:5: Mine.__init__ would have to be run" in made.refusal()


def test_b04a_a_plugins_resource_type_is_known_by_its_class(project: ProjectWriter) -> None:
    """B04a: the record says which class declares it; the class is not imported."""
    made = project(
        app="""
        from flashcore_acme import CronEndpoint
        nightly = CronEndpoint("nightly")
        @nightly.function
        def f(): ...
        """
    )

    assert made.declaration("nightly").resource == "cron"


def test_b05_a_function_is_known_by_where_it_is_defined(project: ProjectWriter) -> None:
    """B05: importing it elsewhere does not make it twice."""
    made = project(
        {
            "workers.py": "from flashcore import QueueEndpoint\nq = QueueEndpoint('q')\n@q.function\ndef f(): ...\n",
            "a.py": "from workers import f, q\n",
            "b.py": "from a import f as g\nimport workers\n",
        }
    )

    assert [(one.name, one.module) for one in made.endpoint("q").functions] == [("f", "workers.py")]


def test_b06_all_functions_of_an_endpoint_are_served(project: ProjectWriter) -> None:
    """B06: chosen by name, also from several files."""
    made = project(
        {
            "a.py": "from flashcore import QueueEndpoint\nq = QueueEndpoint('q')\n@q.function\ndef f(): ...\n",
            "b.py": "from a import q\n@q.function\ndef g(): ...\n@q.function\ndef h(): ...\n",
        }
    )

    assert [one.name for one in made.endpoint("q").functions] == ["f", "g", "h"]


def test_other_peoples_decorators_mean_nothing(project: ProjectWriter) -> None:
    """Frameworks use the same words."""
    made = project(
        app="""
        import functools, modal
        from fastapi import FastAPI
        from flashcore import QueueEndpoint
        app, other = FastAPI(), modal.App()
        q = QueueEndpoint("q")

        @app.get("/x")
        def web(): ...

        @other.function
        def theirs(): ...

        @q.function
        @functools.cache
        def ours(): ...
        """
    )

    assert list(made.functions()) == ["ours"]


@pytest.mark.parametrize(
    ("decorator", "message"),
    [
        ("@q.function()", "a QueueEndpoint cannot be used like this"),
        ("@q.get('/x')", "a QueueEndpoint cannot be used like this"),
        ("@q.functoin", "write @NAME.function"),
        ("@remote", "remote() needs an endpoint"),
        ("@remote('q')", "remote() needs an endpoint"),
        ("@remote(web)", "remote() names no route"),
        ("@web.function", "write @NAME.get(...) or"),
        ("@web.get", "a LoadBalancedEndpoint cannot be used like this"),
        ("@web.get(3)", "get() needs path as text"),
        ("@web.route('/x')", "route() needs method and path"),
        ("@made.function", "make() would have to be run"),
    ],
)
def test_a_decorator_that_is_used_wrongly_says_how(project: ProjectWriter, decorator: str, message: str) -> None:
    """At its place."""
    made = project(
        app=f"""
        from flashcore import LoadBalancedEndpoint, QueueEndpoint, remote
        def make(): ...
        q, web, made = QueueEndpoint("q"), LoadBalancedEndpoint("web"), make()
        {decorator}
        def f(): ...
        """
    )

    told = made.refusal()

    assert message in told
    assert "app.py:5:2" in told or "app.py:4" in told


@pytest.mark.parametrize(
    "given",
    ["g = q.function(f)", "g = q.function(lambda x: x)", "q.function(f)", "g = web.get('/x')(f)", "web.get('/x')(f)"],
)
def test_a_function_that_is_given_in_a_call_is_not_left_out_in_silence(project: ProjectWriter, given: str) -> None:
    """The build succeeded, and callers heard that there is no such function."""
    made = project(
        app=f"""
        from flashcore import LoadBalancedEndpoint, QueueEndpoint
        q, web = QueueEndpoint("q"), LoadBalancedEndpoint("web")
        def f(): ...
        {given}
        """
    )

    told = made.refusal()

    assert "is not served: functions are found by their decorators" in told
    assert f"write @{'web.get' if 'web' in given else 'q.function'} above" in told
    assert "app.py:4:" in told or "app.py:5:" in told


def test_a_function_belongs_to_one_endpoint(project: ProjectWriter) -> None:
    """Two decorators, or two definitions of one name, are refused with both places."""
    made = project(
        app="""
        from flashcore import QueueEndpoint
        a, b = QueueEndpoint("a"), QueueEndpoint("b")
        @a.function
        @b.function
        def f(): ...
        @a.function
        def g(): ...
        @b.function
        def g(): ...
        """
    )

    message = made.refusal()

    assert "app.py:6:1: f belongs to an endpoint already, at app.py:6:1" in message
    assert "app.py:10:1: g belongs to an endpoint already, at app.py:8:1" in message


def test_a_project_without_endpoints_shows_how_to_write_one(project: ProjectWriter) -> None:
    """What was searched, and five lines to copy."""
    made = project({"README.md": ""})
    assert "holds no Python files" in made.refusal()

    made.write("a.py", "x = 1\n")
    assert "none of the 1 Python files" in made.refusal()

    made.write("b.py", "# flashcore\n")
    message = made.refusal()
    assert "b.py mention flashcore and declare none" in message
    assert 'hello = QueueEndpoint("hello")' in message


def test_a_project_within_the_project_keeps_its_endpoints_to_itself(project: ProjectWriter) -> None:
    """It has a flashcore.toml of its own, and is deployed from there; what is imported from it is packed."""
    made = project(
        {
            "flashcore.toml": "app = 'shop'",
            "app.py": """
                from flashcore import QueueEndpoint
                from inner.prices import price
                work = QueueEndpoint("work")

                @work.function
                def f(): return price()
                """,
            "inner/flashcore.toml": "app = 'inner'",
            "inner/app.py": """
                from flashcore import QueueEndpoint
                work = QueueEndpoint("work")

                @work.function
                def g(): ...
                """,
            "inner/prices.py": "def price(): return 1",
            "inner/.flashcore/environments/production/state.db": "secret",
        }
    )

    assert list(made.functions()) == ["f"]
    assert {"inner/prices.py"} == {
        path for path in made.archived("work") if path.startswith("inner/") and "toml" not in path
    }
