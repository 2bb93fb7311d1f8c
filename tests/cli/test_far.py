"""Calling the control API of another machine: what is refused before a token leaves this one."""

from __future__ import annotations

import subprocess
import time
from pathlib import Path

import pytest
from tests.full_disk import small_disk_at

from flashcore.cli.certificates import ends_at
from flashcore.cli.common import Invocation
from flashcore.cli.examining import examine
from flashcore.cli.far import far_api, trust
from flashcore.gateway.security import Security
from flashcore.model.errors import ConfigurationError, Unauthorized
from flashcore.registry.doctor import Severity
from flashcore.server.listening import doors
from flashcore.settings import ApiSettings, Project, Settings, Tls
from flashcore.testing.certificate import make_certificate

EVERYWHERE = "0.0.0.0"  # noqa: S104 - nothing listens there


def project(root: Path, url: str = "", **api: object) -> Project:
    """A project that calls that API."""
    return Project(root, Settings("shop", api=ApiSettings(url=url, **api)))  # type: ignore[arg-type]  # tests name its fields


def test_without_a_url_the_control_api_is_this_machines(tmp_path: Path) -> None:
    """No token is needed, no TLS is set up."""
    assert far_api(project(tmp_path), {}) is None


@pytest.mark.parametrize("url", ["http://127.0.0.1:8701", "http://localhost:8701", "http://[::1]:8701"])
def test_this_machine_may_be_called_in_the_clear(tmp_path: Path, url: str) -> None:
    """Nobody is on the way."""
    assert trust(project(tmp_path, url)) is None


def test_another_machine_is_called_in_the_clear_only_by_somebodys_word(tmp_path: Path) -> None:
    """Whoever is on the way would read the token."""
    url = "http://flash.example.com:8701"

    with pytest.raises(ConfigurationError, match="reads the token") as refused:
        trust(project(tmp_path, url))

    assert "https://" in (refused.value.next_step or "")
    assert trust(project(tmp_path, url, plain=True)) is None


@pytest.mark.parametrize("url", ["flash.example.com:8701", "https://", "ftp://flash.example.com"])
def test_a_url_that_is_none_is_told_so(tmp_path: Path, url: str) -> None:
    """With an example of one."""
    with pytest.raises(ConfigurationError, match=r"api\.url is"):
        trust(project(tmp_path, url))


def test_with_tls_a_token_and_somebody_to_trust_are_needed(tmp_path: Path) -> None:
    """Certificates that cannot be read are told by their path; no token of this machine is shown to another."""
    url = "https://flash.example.com:8701"

    with pytest.raises(ConfigurationError, match=r"api.ca, .*nothing.pem, cannot be used"):
        trust(project(tmp_path, url, ca="nothing.pem"))
    with pytest.raises(Unauthorized, match="FLASHCORE_TOKEN is not set"):
        far_api(project(tmp_path, url), {})
    assert far_api(project(tmp_path, url), {"FLASHCORE_TOKEN": "fc_x_y"}) is not None


def test_beyond_this_machine_the_control_api_needs_tls_or_somebodys_word(tmp_path: Path) -> None:
    """As the gateway does: the refusal says what is missing and what to set."""
    lonely = Project(tmp_path, Settings("shop", api=ApiSettings(host=EVERYWHERE)))
    vouched = Project(tmp_path, Settings("shop", exposed=True, api=ApiSettings(host=EVERYWHERE)))
    half = Project(tmp_path, Settings("shop", tls=Tls(certificate="c.pem"), api=ApiSettings(host=EVERYWHERE)))

    with pytest.raises(ConfigurationError, match=r"the control API is to listen .* without TLS") as refused:
        doors(lonely)
    with pytest.raises(ConfigurationError, match="both"):
        doors(half)

    assert "set tls.certificate and tls.key" in (refused.value.next_step or "")
    assert [(door.host, door.tls) for door in doors(vouched)] == [(EVERYWHERE, None), ("127.0.0.1", None)]


def test_with_a_certificate_it_listens_there_with_tls_and_here_without(tmp_path: Path) -> None:
    """Programs of this machine come last: their address is the one that is written down."""
    files = make_certificate(tmp_path)
    tls = Tls(str(files.certificate), str(files.key))
    outer, inner = doors(Project(tmp_path, Settings("shop", tls=tls, api=ApiSettings(host=EVERYWHERE))))

    assert (outer.host, outer.tls is not None) == (EVERYWHERE, True)
    assert (inner.host, inner.tls) == ("127.0.0.1", None)


def test_the_end_of_a_certificate_is_read_whoever_signed_it(tmp_path: Path) -> None:
    """What a client would not take, as one that has ended, is said to be of no use, with what it said."""
    files, other = make_certificate(tmp_path, days=30), make_certificate(tmp_path, "other")
    context = Security(certificate=files.certificate, key=files.key).context()
    assert context is not None

    assert ends_at(files.certificate, context) == pytest.approx(time.time() + 30 * 86_400, abs=120)
    with pytest.raises(ConfigurationError, match=r"other\.pem is of no use: self.signed"):
        ends_at(other.certificate, context)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('[api]\nhost = "0.0.0.0"\n', "the control API is to listen at 0.0.0.0, beyond this machine, without TLS"),
        ('host = "0.0.0.0"\n', "the gateway is to listen at 0.0.0.0, beyond this machine, without TLS"),
        ('[tls]\ncertificate = "c.pem"\nkey = "k.pem"\n', "cannot be used with the key"),
        ('[api]\nurl = "http://flash.example.com"\n', "whoever is on the way reads the token"),
        ('[api]\nurl = "https://flash.example.com"\nca = "no.pem"\n', "no.pem, cannot be used"),
    ],
)
def test_doctor_says_what_is_wrong_with_it(tmp_path: Path, text: str, said: str) -> None:
    """Each with what to do next, and without starting anything."""
    (tmp_path / "flashcore.toml").write_text(f'app = "shop"\n{text}')

    findings = [one for one in examine(Invocation(tmp_path, None, as_json=False)) if one.severity is Severity.WRONG]

    assert any(said in finding.message and finding.next_step for finding in findings), findings


def test_the_disk_that_is_looked_at_is_the_one_of_the_local_data(tmp_path: Path) -> None:
    """It may be another one than the project's; and files may run out before bytes do."""
    (tmp_path / "flashcore.toml").write_text('app = "shop"\n')
    with small_disk_at(tmp_path / ".flashcore", megabytes=1):
        findings = [one for one in examine(Invocation(tmp_path, None, as_json=False)) if "free at" in one.message]
        subprocess.run(["mount", "-o", "remount,size=2g,nr_inodes=20", tmp_path / ".flashcore"], check=True)
        after = [one for one in examine(Invocation(tmp_path, None, as_json=False)) if "can be made at" in one.message]

    assert [(one.severity, one.message) for one in findings] == [
        (Severity.WRONG, f"0.0 GB free at {tmp_path / '.flashcore'}")
    ]
    assert [one.severity for one in after] == [Severity.WRONG]
