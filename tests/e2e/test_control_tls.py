"""The control API of another machine: TLS with a certificate that was made here, and a token that was made for it."""

from __future__ import annotations

import json
import urllib.request
from dataclasses import replace
from pathlib import Path

import pytest
from tests.ports import free_port

from flashcore.testing.certificate import make_certificate
from flashcore.testing.project import ProjectUnderTest

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

APP = """
from flashcore import QueueEndpoint

hello = QueueEndpoint("hello")


@hello.function
def greet() -> str:
    return "hello"
"""


@pytest.fixture
def served(project: ProjectUnderTest) -> tuple[ProjectUnderTest, str]:
    """A platform whose control API speaks TLS at a second address, and that address."""
    make_certificate(project.root)
    project.environment = {"FLASHCORE_API_PORT": str(free_port())}
    project.write(
        "flashcore.toml",
        'app = "shop"\n[api]\nhost = "localhost"\n[tls]\ncertificate = "localhost.pem"\nkey = "localhost.key"\n',
    )
    project.write("app.py", APP)
    project.must("server", "start")
    return project, f"https://localhost:{project.environment['FLASHCORE_API_PORT']}"


def test_a_project_is_deployed_to_another_machine(served: tuple[ProjectUnderTest, str], tmp_path: Path) -> None:
    """Commands there verify whom they speak to, show their token to nobody else, and are let in by its scopes."""
    here, url = served
    token = here.must("token", "create", "ci", "--scope", "read", "--scope", "deploy", "--json").json["token"]
    there = ProjectUnderTest(tmp_path / "laptop" / "shop")
    there.write("app.py", APP)
    there.write("flashcore.toml", f'app = "shop"\n[api]\nurl = "{url}"\nca = "ca.pem"\n')
    there.write("ca.pem", (here.root / "localhost.pem").read_text())
    without = there.run("status")
    there.environment = {"FLASHCORE_TOKEN": token}

    there.must("deploy")
    shown = there.must("status", "--json").json
    doctor = there.must("doctor").err
    reading = replace(there, environment={"FLASHCORE_TOKEN": "wrong"}).run("status")
    there.write("ca.pem", make_certificate(tmp_path, "elsewhere").certificate.read_text())
    distrusted = there.run("status")

    assert [one["endpoint"] for one in shown["deployments"]] == ["hello"]
    assert f"commands call {url}: shop/production" in doctor
    assert "FLASHCORE_TOKEN is not set" in without.err
    assert (reading.code, "not this server's" in reading.err) == (without.code, True)
    assert "cannot be trusted" in distrusted.err
    assert "FLASHCORE_API_CA" in distrusted.err
    assert not (there.root / ".flashcore" / "environments" / "production" / "server.json").exists()


def test_commands_of_the_machine_itself_go_on_as_ever(served: tuple[ProjectUnderTest, str]) -> None:
    """Over the loopback interface; doctor tells where it listens and what of the certificate, and what is wrong."""
    here, url = served

    fine = here.must("doctor").err
    (here.root / "localhost.key").chmod(0o644)
    key = here.run("doctor")
    with pytest.raises(OSError, match=r"CERTIFICATE_VERIFY_FAILED|certificate verify failed"):
        urllib.request.urlopen(f"{url}/ping")  # noqa: S310 - the address is the platform's own

    presence = json.loads((here.root / ".flashcore/environments/production/server.json").read_text())
    assert presence["url"].startswith("http://127.0.0.1:")
    assert "the control API listens at localhost, with TLS" in fine
    assert "and its key fit, for 1 more days" in fine
    assert key.code != 0
    assert "can be read by others" in key.err
