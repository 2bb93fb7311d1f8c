"""Amending hooks: each sees what the one before left, and a failure stops the operation with a name to it."""

from collections.abc import Mapping
from dataclasses import replace

import pytest
from tests.registry.conftest import Site

from flashcore.model.declaration import Template
from flashcore.model.errors import PluginError, Refused
from flashcore.model.manifest import Manifest
from flashcore.model.names import Digest, EndpointName
from flashcore.model.revision import RevisionContent
from flashcore.registry.reports import State

HEAD = "from dataclasses import replace\nfrom flashcore.plugin import hookimpl\nfrom flashcore.model import errors\n"
MANIFEST = Manifest("shop", (), "0.1", "3.11")
REVISION = RevisionContent(EndpointName("hello"), "queue", Template(), (), "handler.py", Digest("0" * 64), "3.11")


def amending(site: Site, name: str, body: str, mark: str = "@hookimpl") -> None:
    """Install a plugin that amends manifests."""
    site.plugin(name, f"{HEAD}\n{mark}\ndef flashcore_manifest(manifest):\n    {body}\n", version="0.3.1")


def appending(letter: str) -> str:
    """A body that adds a letter to the app's name."""
    return f"return replace(manifest, app=manifest.app + {letter!r})"


def test_without_plugins_nothing_is_amended(site: Site) -> None:
    """The very same object comes back."""
    registry = site.registry()
    env: Mapping[str, str] = {"A": "1"}

    assert registry.amend_manifest(MANIFEST) is MANIFEST
    assert registry.amend_replica_env(REVISION, env) is env


def test_each_sees_what_the_last_one_left(site: Site) -> None:
    """Called last registered first, whatever order they were found in; `tryfirst` comes before, `trylast` after."""
    amending(site, "aaa", appending("a"))
    amending(site, "bbb", appending("b"))
    amending(site, "ccc", appending("c"), mark="@hookimpl(trylast=True)")
    amending(site, "ddd", appending("d"))
    amending(site, "first", appending("1"), mark="@hookimpl(tryfirst=True)")

    assert site.registry().amend_manifest(MANIFEST) == replace(MANIFEST, app="shop" + "1dbac")


def test_none_leaves_it_as_it_is(site: Site) -> None:
    """A plugin that has nothing to say says nothing."""
    amending(site, "aaa", "return None")
    amending(site, "bbb", appending("b"))

    assert site.registry().amend_manifest(MANIFEST).app == "shopb"


def test_an_environment_is_amended_for_its_revision(site: Site) -> None:
    """The hook is given the revision that the replicas will run."""
    site.plugin(
        "acme",
        HEAD + "@hookimpl\ndef flashcore_replica_env(revision, env):\n    return {**env, 'FOR': revision.endpoint}\n",
    )

    assert site.registry().amend_replica_env(REVISION, {"A": "1"}) == {"A": "1", "FOR": "hello"}


@pytest.mark.parametrize("raised", ["ValueError('no room')", "errors.Refused('no room')", "SystemExit('no room')"])
def test_what_an_amendment_raises_passes_with_a_note_of_whose_it_is(site: Site, raised: str) -> None:
    """The type is kept, so that a plugin may refuse as the platform does."""
    amending(site, "acme", f"raise {raised}")
    registry = site.registry()

    with pytest.raises((ValueError, Refused, SystemExit), match="no room") as caught:
        registry.amend_manifest(MANIFEST)

    assert caught.value.__notes__ == ["in flashcore_manifest of acme (flashcore-acme 0.3.1)"]


@pytest.mark.parametrize("returned", ["7", "{}", "'text'", "[manifest]"])
def test_an_amendment_of_the_wrong_type_names_its_plugin(site: Site, returned: str) -> None:
    """It would fail far away otherwise, with nobody to blame."""
    amending(site, "acme", f"return {returned}")

    with pytest.raises(PluginError, match="must return a Manifest or None") as caught:
        site.registry().amend_manifest(MANIFEST)

    assert caught.value.data["distribution"] == "flashcore-acme"


def test_calling_each_goes_on_after_a_failure(site: Site) -> None:
    """Whoever asks all of them hears all of them."""
    amending(site, "aaa", "return 'a'")
    amending(site, "bbb", "raise ValueError('b')")
    amending(site, "ccc", "return 'c'")
    registry = site.registry()

    called = list(registry.call_each("flashcore_manifest", manifest=MANIFEST))

    assert [one.origin.name for one in called] == ["ccc", "bbb", "aaa"]
    assert [one.value for one in called] == ["c", None, "a"]
    assert [type(one.failure) for one in called] == [type(None), ValueError, type(None)]
    assert all(report.state is State.ACTIVE for report in registry.reports)


def test_an_interrupt_during_a_hook_is_not_held_back(site: Site) -> None:
    """Ctrl-C ends the program, whoever is at work."""
    amending(site, "acme", "raise KeyboardInterrupt")

    with pytest.raises(KeyboardInterrupt):
        list(site.registry().call_each("flashcore_manifest", manifest=MANIFEST))
