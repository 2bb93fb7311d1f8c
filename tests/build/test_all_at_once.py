"""Everything that can be found is said in one run: by the scanner, of settings, handlers, packages and sizes."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from tests.build.conftest import Project

from flashcore import BuildError
from flashcore.build.lock import LOCK_FILE, Lock, Locked, write_lock
from flashcore.build.options import BuildOptions, Target
from flashcore.build.project import build

FLAWED = """
    import os
    import time
    from flashcore import LoadBalancedEndpoint, QueueEndpoint

    web = LoadBalancedEndpoint(
        "web",
        replicas=time.time(),
        strategy="no such strategy",
        dependencies=["numpy>=2", "not a requirement"],
    )

    @web.get("no slash")
    def page() -> str:
        return ""

    nameless = QueueEndpoint("Not A Name", scaler="no such scaler")

    @nameless.function
    def work() -> None: ...

    @nameless.function
    def work_more(): ...
"""
SOUND = """
    from flashcore import QueueEndpoint

    large = QueueEndpoint("large", dependencies=["numpy>=2"])

    @large.function
    def compute() -> None: ...

    other = QueueEndpoint("other")

    @other.function
    def add() -> None: ...
"""


def failure(project: Project, options: BuildOptions | None = None) -> BuildError:
    """What a build says that has to fail."""
    with pytest.raises(BuildError) as caught:
        build(project.root, app="shop", registry=project.registry, options=options)
    return caught.value


def test_problems_of_every_kind_are_said_in_one_run(project: Callable[..., Project]) -> None:
    """An endpoint that cannot be read does not hide what is wrong with its parts, functions, or with others."""
    made = project({"app.py": FLAWED, "sound.py": SOUND, "data.bin": "", "handler_other.py": "x = 1\n"})
    made.write("data.bin", b"\0" * 3_000_000)
    made.write("sound.py", SOUND.replace('"large",', '"large", include=["data.bin"],'))
    write_lock(made.root, Lock((Locked(("other",), "linux-amd64", "3.12"),)))
    options = BuildOptions(bundle_for=Target("linux-amd64", "3.12"), largest=2_000_000)

    found = str(failure(made, options))

    for wanted in (
        "replicas cannot be read",
        "no such strategy",
        "no such scaler",
        "no requirement",
        "GET no slash",
        "Not A Name",
        "the handler of 'other' gets this name",
        f"{LOCK_FILE} has no packages for",
        "the archive of 'large' would have",
    ):
        assert wanted in found, found


def test_each_problem_has_its_file_and_line(project: Callable[..., Project]) -> None:
    """Where to look, for those of packing too."""
    made = project({"sound.py": SOUND})
    write_lock(made.root, Lock((Locked(("other",), "linux-amd64", "3.12"),)))

    options = BuildOptions(bundle_for=Target("linux-amd64", "3.12"), largest=10)
    found = failure(made, options).data["places"]

    assert found == ["sound.py:4:9", "sound.py:4:9", "sound.py:9:9"]


def test_a_lock_that_cannot_be_read_is_one_problem_of_several(project: Callable[..., Project]) -> None:
    """With the line at which it ends to be understood."""
    made = project({"sound.py": SOUND, "handler_other.py": "x = 1\n"})
    made.write(LOCK_FILE, "version = 1\n[[set]\n")

    found = failure(made).data["places"]

    assert found == [f"{LOCK_FILE}:2:0", "handler_other.py"]


def test_a_setting_that_cannot_be_read_brings_no_problem_that_is_not_one(project: Callable[..., Project]) -> None:
    """What would not fit its default says nothing of what its author meant."""
    made = project(
        app="""
        import time
        from flashcore import QueueEndpoint

        q = QueueEndpoint("q", replicas=(1, time.time()), scaler="fixed")

        @q.function
        def work() -> None: ...
        """
    )

    assert failure(made).message == "app.py:5:37: replicas cannot be read: time.time() would have to be run"
