"""Names that can exist, and what is said of those that cannot."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flashcore.model.errors import InvalidName
from flashcore.model.names import (
    RESERVED_ENDPOINT_NAMES,
    EndpointName,
    RevisionId,
    endpoint_name,
    is_id_of,
    new_replica_id,
)


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("MyEndpoint", "my-endpoint"),
        ("my_endpoint", "my-endpoint"),
        ("a--b", "a-b"),
        ("", "choose another name"),
        ("v2", "choose another name"),
        ("-a", "'a'"),
        ("x" * 41, "x" * 40),
        ("übung", "'bung'"),
    ],
)
def test_an_impossible_name_is_refused_with_a_near_one(name: str, hint: str) -> None:
    """The person learns why, and what would do."""
    with pytest.raises(InvalidName) as caught:
        endpoint_name(name)

    assert hint in str(caught.value)


@given(st.from_regex(re.compile(r"[a-z0-9]([a-z0-9-]{0,38}[a-z0-9])?"), fullmatch=True))
def test_every_dns_label_that_is_not_ours_will_do(name: str) -> None:
    """A legal name is taken as it is, and a replica's id made from it is a DNS label."""
    if "--" in name or name in RESERVED_ENDPOINT_NAMES:
        return
    legal = endpoint_name(name)

    replica = new_replica_id(legal, RevisionId("a" * 64))

    assert legal == name
    assert len(replica) <= 63


def test_replica_ids_do_not_repeat() -> None:
    """Two replicas of one revision have two names."""
    name, revision = endpoint_name("hello"), RevisionId("0" * 64)

    assert new_replica_id(name, revision) != new_replica_id(name, revision)


def test_an_id_is_known_for_the_endpoints_own() -> None:
    """Of no other endpoint, also one whose name begins alike, and nothing that would be a path."""
    web, web_2 = EndpointName("web"), EndpointName("web-2")
    of_web, of_web_2 = (new_replica_id(name, RevisionId("a" * 64)) for name in (web, web_2))

    assert is_id_of(of_web, web)
    assert is_id_of(of_web_2, web_2)
    assert not is_id_of(of_web_2, web)
    assert not is_id_of(of_web, web_2)
    for text in ("", "web", "web-", "web-1", "web-../../x-1", "web-1-2/../3", "web-1-", "WEB-1-2", "web-web-1-2"):
        assert not is_id_of(text, web)
