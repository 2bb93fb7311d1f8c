"""Secrets are where they are needed and nowhere else: not in a file, not in an answer, not on a command line."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest

from flashcore.testing.project import ProjectUnderTest

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

APP = """
import os

from flashcore import LoadBalancedEndpoint, QueueEndpoint

hello = QueueEndpoint("hello", replicas=1, secrets=["DATABASE", "PASSWORD"])
web = LoadBalancedEndpoint("web", replicas=1, secrets=["PASSWORD"])


@hello.function
def length(fail: bool = False) -> int:
    if fail:
        raise ValueError("it did not work")
    return len(os.environ["DATABASE"] + os.environ["PASSWORD"])


@web.get("/length")
async def count() -> int:
    return len(os.environ["PASSWORD"])
"""

IN_FILE, IN_ENVIRONMENT = "planted-in-the-file-5c2e91", "planted-in-the-environment-77b0a3"


def found_in(texts: Mapping[str, bytes], words: Mapping[str, str]) -> list[tuple[str, str]]:
    """Which of the words stand in which of the texts."""
    return [(name, what) for name, text in texts.items() for what, word in words.items() if word.encode() in text]


def files_of(root: Path) -> dict[str, bytes]:
    """Every file that is left, but for those that are there to hold secrets; nobody else may read these."""
    found = {}
    for path in root.rglob("*"):
        if not path.is_file() or path.name in {"secrets", "token", "call.key", "hop.key", "webhook.key"}:
            continue
        found[str(path.relative_to(root))] = path.read_bytes()
    return found


def test_a_planted_secret_is_nowhere_after_a_whole_run(project: ProjectUnderTest) -> None:
    """Deployed, called, failed, updated, rolled back, looked at in every way; then every file and output is read."""
    secrets = project.root / ".flashcore" / "secrets"
    secrets.parent.mkdir(exist_ok=True)
    secrets.write_text(f"DATABASE={IN_FILE}\n")
    secrets.chmod(0o600)
    project.environment = {**project.environment, "PASSWORD": IN_ENVIRONMENT}
    project.write("app.py", APP)
    said: dict[str, bytes] = {}
    codes: dict[str, int] = {}

    def run(*arguments: str) -> str:
        ran = project.run(*arguments)
        said[" ".join(arguments)] = (ran.out + ran.err).encode()
        codes[" ".join(arguments)] = ran.code
        return ran.out

    run("deploy", "--plan")
    run("deploy")
    assert run("call", "hello", "length", "{}").strip() == str(len(IN_FILE + IN_ENVIRONMENT))
    assert run("call", "web", "/length").strip() == str(len(IN_ENVIRONMENT))
    run("call", "hello", "length", '{"fail": true}')
    token = run("token", "create", "ci", "--scope", "call").strip()
    said = {command: text for command, text in said.items() if not command.startswith("token create")}
    project.write("app.py", APP.replace("it did not work", "nor this"))
    run("deploy")
    run("rollout", "undo", "hello")
    for looked in (
        *(("status",), ("status", "--json"), ("why", "hello"), ("rollout", "history", "hello"), ("token", "list")),
        *(("logs", "hello"), ("logs", "web"), ("plugins", "list"), ("doctor",), ("server", "status", "--json")),
        *(("server", "backup", "backup.file"), ("build",), ("server", "status")),
    ):
        run(*looked)
    lines = {str(one.pid): " ".join(one.cmdline()).encode() for one in project.processes() if one.is_running()}
    admin = (project.root / ".flashcore/environments/production/token").read_text().strip()
    run("server", "stop")

    words = {"from the file": IN_FILE, "from the environment": IN_ENVIRONMENT, "a token": token.split("_", 2)[2]}
    words["the environment's token"] = admin
    failed = {command for command, code in codes.items() if code}
    assert failed == {"deploy --plan", 'call hello length {"fail": true}'}
    assert len(said) > 18
    assert found_in(said, words) == []
    assert found_in(files_of(project.root), words) == []
    assert found_in(lines, words) == []


def test_a_secret_that_is_planted_in_a_file_is_found(tmp_path: Path) -> None:
    """Or the other test would prove nothing."""
    (tmp_path / "logs").mkdir()
    (tmp_path / "logs" / "x.log").write_text(f"so it was {IN_FILE}!")
    (tmp_path / "secrets").write_text(IN_FILE)

    assert found_in(files_of(tmp_path), {"it": IN_FILE}) == [("logs/x.log", "it")]
