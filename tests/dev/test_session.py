"""A session, edited while it runs."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from tests.dev.conftest import WITHIN, DevUnderTest, ask, edit, until

from flashcore.testing.project import ProjectUnderTest

pytestmark = pytest.mark.timeout(300)


def test_addresses_are_those_of_a_deployed_platform(dev: DevUnderTest) -> None:
    """Queues answer the job API, load-balanced endpoints their routes, and the gateway tells what there is."""
    assert dev.call("greet", "Ada") == "Hello, Ada!"
    assert ask(f"{dev.url}/web/hello") == (200, {"hello": "world"})
    assert [one["name"] for one in ask(f"{dev.url}/manifest")[1]["endpoints"]] == ["jobs", "web"]


def test_each_call_is_shown_with_its_time_and_result(dev: DevUnderTest) -> None:
    """Jobs with their value, requests with their status, and what the code printed."""
    said = len(dev.said)
    dev.call("greet", "Grace")
    ask(f"{dev.url}/web/hello")

    job = dev.heard("called", lambda one: one["endpoint"] == "jobs", said)
    assert (job["what"], job["outcome"], job["ok"], json.loads(job["result"])) == (
        "greet",
        "completed",
        True,
        "Hello, Grace!",
    )
    request = dev.heard("called", lambda one: one["endpoint"] == "web", said)
    assert (request["what"], request["outcome"], request["ok"]) == ("GET /hello", "200", True)
    assert all(0 <= call["seconds"] < WITHIN for call in (job, request))
    dev.heard("printed", lambda one: one["text"] == "greeting Grace", said)


def test_failures_are_shown_with_their_traceback(dev: DevUnderTest) -> None:
    """Files in it are named from the project's root."""
    said = len(dev.said)
    dev.call("fail")
    assert ask(f"{dev.url}/web/fail")[0] == 500

    job = dev.heard("called", lambda one: one["endpoint"] == "jobs", said)
    assert (job["ok"], job["failure"]["error_type"]) == (False, "ValueError")
    assert "in fail" in job["failure"]["error_traceback"]
    assert dev.heard("called", lambda one: one["endpoint"] == "web", said)["outcome"] == "500"
    dev.heard(
        "printed", lambda one: one["text"].startswith('  File "app.py", line') and "fail_too" in one["text"], said
    )


def test_a_change_is_served_and_calls_under_way_finish_on_the_old_code(dev: DevUnderTest, tmp_path: Path) -> None:
    """The new code answers while the old one still works, on jobs and on requests."""
    begun, begun_too, there = tmp_path / "begun", tmp_path / "begun-too", tmp_path / "there"
    job = dev.submit("wait", str(begun), str(there))
    with ThreadPoolExecutor(1) as pool:
        request = pool.submit(ask, f"{dev.url}/web/wait?begun={begun_too}&until={there}")
        until(lambda: begun.exists() and begun_too.exists())

        dev.change('return "old"', 'return "new"')
        dev.change('"Hello, {', '"Hey, {')
        dev.change('{"hello": "world"}', '{"hello": "moon"}')

        assert dev.call("greet", "Ada") == "Hey, Ada!"
        assert ask(f"{dev.url}/web/hello") == (200, {"hello": "moon"})
        there.touch()
        assert request.result() == (200, "old")
    assert ask(f"{dev.url}/v2/jobs/status-sync/{job}")[1]["output"]["$flashcore"]["value"] == "old"
    dev.change('"Hey, {', '"Hello, {')


def test_code_with_a_syntax_error_is_refused_by_place_and_the_old_code_serves(dev: DevUnderTest) -> None:
    """The next edit that can be built is served again."""
    said = len(dev.said)
    edit(dev.project, lambda app: f"{app}\ndef (\n")
    lines = (dev.project.root / "app.py").read_text().splitlines()

    refused = dev.heard("refused", since=said)

    assert f"app.py:{lines.index('def (') + 1}" in refused["error"]["message"]
    assert dev.call("greet", "Ada") == "Hello, Ada!"
    dev.change("\ndef (\n", "\nMORE = 1\n")
    assert dev.call("greet", "Ada") == "Hello, Ada!"


def test_code_that_does_not_start_is_told_once_and_the_old_code_serves(dev: DevUnderTest) -> None:
    """The traceback is told, too."""
    said = len(dev.said)
    edit(dev.project, lambda app: f"{app}\nraise RuntimeError('not today')\n")

    told = dev.heard("not_starting", lambda one: one["endpoint"] == "jobs", said)

    assert "not today" in told["reason"]
    assert dev.call("greet", "Ada") == "Hello, Ada!"
    dev.heard("printed", lambda one: one["text"] == "RuntimeError: not today", said)
    dev.change("raise RuntimeError('not today')", "")
    assert sum(one["kind"] == "not_starting" and one["endpoint"] == "jobs" for one in dev.said[said:]) == 1
    assert told["serving"]


def test_endpoints_come_and_go_with_their_declarations(dev: DevUnderTest) -> None:
    """In a new file of a new folder, and away again."""
    said = len(dev.said)
    dev.project.write(
        "more/extra.py",
        """
        from flashcore import QueueEndpoint

        extra = QueueEndpoint("extra")

        @extra.function
        def one() -> int:
            return 1
        """,
    )
    dev.until_ready("extra", since=said)
    (dev.project.root / "more/extra.py").unlink()

    dev.heard("removed", lambda one: one["endpoint"] == "extra", said)


def test_sent_code_runs_with_the_token_alone(dev: DevUnderTest) -> None:
    """B37: under `flashcore dev`, `/execute` needs the token; what the code raises comes back as data."""
    token = Path(dev.heard("started")["token"]).read_text().strip()
    sent = {
        "source": "import app\ndef twice(x):\n    print('in it')\n    return x * 2",
        "function": "twice",
        "args": [21],
    }

    assert ask(f"{dev.url}/execute", sent)[0] == 401
    assert ask(f"{dev.url}/execute", sent, "wrong")[0] == 401
    assert ask(f"{dev.url}/execute", sent, token) == (200, {"value": 42, "output": "in it\n"})
    failed = ask(f"{dev.url}/execute", {**sent, "args": [None]}, token)[1]["error"]
    assert failed["error_type"] == "TypeError"
    assert ask(f"{dev.url}/execute", {"source": 1}, token)[0] == 400
    assert (Path(dev.heard("started")["token"]).stat().st_mode & 0o777) == 0o600


def test_archives_that_nobody_runs_are_cleared_away(dev: DevUnderTest) -> None:
    """A day of edits leaves what a minute of them does."""

    def edited() -> bool:
        for old, new in (("Hello, {", "Hi, {"), ("Hi, {", "Ho, {"), ("Ho, {", "Hello, {")):
            dev.change(old, new)
        unpacked = list((dev.home / "unpacked").iterdir())
        archives = [path for path in (dev.home / "artifacts").rglob("*") if path.is_file()]
        # Of two endpoints: what runs, what ran before, and what was there as the last change came.
        return max(len(unpacked), len(archives)) <= 6

    edited()
    # Later edits clear away what the replicas of earlier ones still ran.
    until(edited)


def test_the_client_finds_the_session_by_its_environment(dev: DevUnderTest) -> None:
    """`--env dev` is all that commands need."""
    assert dev.project.must("call", "--env", "dev", "jobs", "greet", '["Ada"]').out.strip() == "Hello, Ada!"


def test_values_keep_their_types(dev: DevUnderTest) -> None:
    """B34: a program gets from a session what it gets from the function itself, and from a deployed endpoint."""
    said = len(dev.said)
    program = "import app; print(repr((app.shapes.remote(), app.shapes.local()))); app.point.remote()"
    environment = {**os.environ, "FLASHCORE_ENV": "dev", "PYTHONPATH": str(dev.project.root)}

    ran = subprocess.run(
        [sys.executable, "-c", program],
        cwd=dev.project.root,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )

    there, here = eval(ran.stdout or repr(ran.stderr))  # noqa: S307 - it is our own program's output
    assert there == here == {"tuple": (1, 2), "bytes": b"x", "set": {3}}
    shown = dev.heard("called", lambda one: one["what"] == "shapes", said)
    assert shown["result"] == repr({"tuple": (1, 2), "bytes": b"x", "set": {3}})
    shown = dev.heard("called", lambda one: one["what"] == "point", said)
    assert shown["result"].startswith("(application/vnd.flashcore.sealed, ")


def test_a_provider_that_runs_no_sessions_is_refused(shop: ProjectUnderTest) -> None:
    """`--remote` says that this machine's provider cannot, and what to do."""
    ran = shop.run("dev", "--remote", "--json")

    assert ran.code == 1
    assert ran.json["error"]["code"] == "refused"
    assert ran.json["error"]["data"]["provider"] == "process"
