"""How commands say to the control plane what they mean."""

from __future__ import annotations

import pytest

from flashcore.cli.api import of_deployment
from flashcore.cli.calling import method_and_path
from flashcore.model.errors import NotFound


@pytest.mark.parametrize("name", ["my endpoint", "\u00fcnd", "a/b", "../x", "x?y=1", "x#y", "a%20b", "UPPER", ""])
def test_what_no_endpoint_can_be_called_is_not_asked_for(name: str) -> None:
    """Of a path it would be another part, or none that can be sent; one that begins it would be meant instead."""
    with pytest.raises(NotFound, match="there is no endpoint"):
        of_deployment(name)


@pytest.mark.parametrize(
    ("within", "path"),
    [
        ((), "/api/v1/deployments/web"),
        (("scale",), "/api/v1/deployments/web/scale"),
        (("replicas", "web-1 /?#\u00fc", "cordon"), "/api/v1/deployments/web/replicas/web-1%20%2F%3F%23%C3%BC/cordon"),
    ],
)
def test_what_somebody_wrote_stays_one_segment(within: tuple[str, ...], path: str) -> None:
    """Whatever is in it."""
    assert of_deployment("web", *within) == path


@pytest.mark.parametrize(
    ("what", "sent"),
    [
        (None, ("GET", "/")),
        ("/hello/\u00fc?a=1&b=%20", ("GET", "/hello/%C3%BC?a=1&b=%20")),
        ("post /items", ("POST", "/items")),
    ],
)
def test_a_path_is_sent_as_a_browser_sends_it(what: str | None, sent: tuple[str, str]) -> None:
    """What is not ASCII is escaped, and what is escaped already stays so."""
    assert method_and_path(what, has_body=False) == sent
