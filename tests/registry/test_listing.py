"""`flashcore plugins`: every state in words and in JSON, and exit codes that a script can use."""

import json
import re
from typing import Any

import pytest
from tests.registry.conftest import PARTS, Site

import flashcore

OFF = {"FLASHCORE_DISABLE_PLUGINS": "off", "COLUMNS": "200"}
BESIDE = ("builtin", "canary", "routing", "PLUGIN")


@pytest.fixture
def motley(site: Site) -> Site:
    """One plugin in each state."""
    site.strategy("acme", version="0.3.1")
    site.strategy("off")
    site.plugin("old", "", requires=["flashcore-framework>=99"])
    site.plugin("torn", "import nowhere_at_all")
    site.strategy("twin", "one", distribution="flashcore-twin")
    site.strategy("twin", "other", distribution="other-twin")
    return site


def ours(text: str) -> list[str]:
    """The lines that are not about what happens to be installed beside, with times made equal."""
    lines = [re.sub(r"\d+ ms", "N ms", line) for line in text.splitlines() if "slow import" not in line]
    return [re.sub(r"  +", "  ", line) for line in lines if not line.startswith(BESIDE)]


def documents(text: str) -> dict[str, dict[str, Any]]:
    """The plugins of a JSON answer by distribution."""
    return {one["distribution"]: one for one in json.loads(text)["plugins"]}


def test_every_state_is_shown_with_reason_and_next_step(motley: Site) -> None:
    """What a person reads who asks what is going on; a plugin that does not work is no failure of listing."""
    done = motley.run("plugins", "list", variables=OFF)

    assert done.returncode == 0
    assert ours(done.stdout) == [
        "acme  active  flashcore-acme 0.3.1  N ms  1 strategy",
        "off  disabled  flashcore-off 1.0  N ms  -",
        "old  incompatible  flashcore-old 1.0  N ms  -",
        "torn  broken  flashcore-torn 1.0  N ms  -",
        "twin  conflict  flashcore-twin 1.0  N ms  -",
        "twin  conflict  other-twin 1.0  N ms  -",
        "off (flashcore-off 1.0) is disabled: switched off by FLASHCORE_DISABLE_PLUGINS",
        "  next: take it out of FLASHCORE_DISABLE_PLUGINS to load it",
        (
            "old (flashcore-old 1.0) is incompatible: it requires flashcore-framework>=99; "
            f"{flashcore.__version__} is installed"
        ),
        "  next: pip install 'flashcore-framework>=99', or pip install --upgrade flashcore-old",
        (
            "torn (flashcore-torn 1.0) is broken: flashcore_torn.hooks cannot be imported: "
            "ModuleNotFoundError: No module named 'nowhere_at_all'"
        ),
        "  next: pip install --upgrade flashcore-torn, or switch it off: --no-plugin torn",
        "twin (flashcore-twin 1.0) is in conflict: the entry point 'twin' is also used by twin (other-twin 1.0)",
        "  next: uninstall one of them, or switch one off: --no-plugin other-twin",
        "twin (other-twin 1.0) is in conflict: the entry point 'twin' is also used by twin (flashcore-twin 1.0)",
        "  next: uninstall one of them, or switch one off: --no-plugin flashcore-twin",
    ]


def test_every_state_is_in_the_json_answer(motley: Site) -> None:
    """The form that programs rely on."""
    shown = documents(motley.run("plugins", "list", "--json", variables=OFF).stdout)

    acme = shown["flashcore-acme"]
    assert {name: shown[name]["state"] for name in shown if name.startswith(("flashcore-", "other-"))}.items() >= {
        "flashcore-acme": "active",
        "flashcore-off": "disabled",
        "flashcore-old": "incompatible",
        "flashcore-torn": "broken",
        "flashcore-twin": "conflict",
        "other-twin": "conflict",
    }.items()
    assert acme.pop("import_ms") >= 0
    acme.pop("notes")  # on a busy machine the import was slow
    assert acme.pop("source").endswith("flashcore_acme-0.3.1.dist-info")
    assert acme == {
        "name": "acme",
        "distribution": "flashcore-acme",
        "version": "0.3.1",
        "state": "active",
        "reason": "",
        "next_step": "",
        "parts": {
            "strategies": {
                "acme": {
                    "summary": "A strategy",
                    "ref": "flashcore_acme.parts:Strategy",
                    "api": 1,
                    "options": "flashcore_acme.parts:Options",
                }
            }
        },
        "hooks": [],
        "module": "flashcore_acme.hooks",
        "heavy": [],
    }


def test_one_plugin_is_shown_with_all_that_it_offers(motley: Site) -> None:
    """By entry point or by distribution."""
    done = motley.run("plugins", "show", "flashcore-acme", variables=OFF)

    assert done.returncode == 0
    assert "acme (flashcore-acme 0.3.1): active" in done.stdout
    assert re.search(r"strategies +acme +1 +flashcore_acme.parts:Strategy +A strategy", done.stdout)


def test_a_name_that_two_plugins_have_shows_both(motley: Site) -> None:
    """That is what the person has to know."""
    shown = documents(motley.run("plugins", "show", "twin", "--json", variables=OFF).stdout)

    assert set(shown) == {"flashcore-twin", "other-twin"}


@pytest.mark.parametrize("arguments", [("show", "acmee"), ("check", "acmee")])
def test_a_plugin_that_is_not_there_is_an_error(motley: Site, arguments: tuple[str, str]) -> None:
    """With the name that was meant."""
    done = motley.run("plugins", *arguments, variables=OFF)

    assert done.returncode == 1
    assert "no plugin answers to 'acmee', did you mean 'acme'" in done.stderr


def test_checking_fails_when_a_plugin_does_not_work(motley: Site) -> None:
    """One that is switched off on purpose is no failure."""
    every = motley.run("plugins", "check", "--json", variables=OFF)
    working = motley.run("plugins", "check", "acme", variables=OFF)
    off = motley.run("plugins", "check", "off", variables=OFF)

    assert every.returncode == 1
    assert json.loads(every.stdout)["works"] is False
    assert (working.returncode, off.returncode) == (0, 0)


def test_listing_strictly_fails_when_a_plugin_does_not_work(motley: Site) -> None:
    """All are listed nevertheless."""
    done = motley.run("--strict-plugins", "plugins", "list", "--json", variables=OFF)

    assert done.returncode == 1
    assert "flashcore-torn" in documents(done.stdout)


# how the fault comes about: hooks module, further files, what is said
FAULTS = {
    "at import": ("raise RuntimeError('at once')", {}, "broken", "RuntimeError: at once"),
    "by ending the process": ("raise SystemExit(0)", {}, "broken", "SystemExit: 0"),
    "at registration": (
        "from flashcore.plugin import hookimpl\n@hookimpl\ndef flashcore_event(colour): pass",
        {},
        "broken",
        "{'colour'}",
    ),
    "in a registry hook": (
        "from flashcore.plugin import hookimpl\n@hookimpl\ndef flashcore_gates(): raise KeyError('x')",
        {},
        "broken",
        "flashcore_gates raised KeyError: 'x'",
    ),
    "when a reference is resolved": (
        (
            "from flashcore.plugin import Part, hookimpl\n"
            "@hookimpl\ndef flashcore_gates(): return {'odd': Part('flashcore_acme.parts:Odd', 'x')}"
        ),
        {"parts.py": "raise OSError('gone')"},
        "broken",
        "flashcore_acme.parts:Odd does not resolve: OSError: gone",
    ),
    "in a conflict": (
        (
            "from flashcore.plugin import Part, hookimpl\n"
            "@hookimpl\ndef flashcore_strategies(): return {'rolling': Part('flashcore_acme.parts:Strategy', 'x')}"
        ),
        {"parts.py": PARTS},
        "conflict",
        f"strategy 'rolling' is offered by builtin (flashcore-framework {flashcore.__version__}) too",
    ),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_checking_names_the_plugin_whatever_it_does_and_whenever(site: Site, fault: str) -> None:
    """Exit code, state, reason, distribution and version, wherever in its life a plugin fails."""
    hooks, files, state, reason = FAULTS[fault]
    site.plugin("acme", hooks, version="0.3.1", files=files)

    done = site.run("plugins", "check", "acme", "--json")

    (acme,) = json.loads(done.stdout)["plugins"]
    assert done.returncode == 1
    assert (acme["state"], acme["distribution"], acme["version"]) == (state, "flashcore-acme", "0.3.1")
    assert reason in acme["reason"]
    assert acme["next_step"]


@pytest.mark.parametrize(
    ("hook", "point"),
    [
        ("@hookimpl\ndef flashcore_event(event): raise SystemExit(5)", "event"),
        ("@hookimpl\ndef flashcore_manifest(manifest): raise SystemExit(5)", "manifest"),
        ("@hookimpl\ndef flashcore_replica_env(revision, env): raise SystemExit(5)", "replica_env"),
    ],
)
def test_hooks_that_are_called_later_do_not_count_against_a_plugin_now(site: Site, hook: str, point: str) -> None:
    """Observers are isolated and amendments stop their operation: both are told where they happen."""
    site.plugin("acme", f"from flashcore.plugin import hookimpl\n{hook}")

    done = site.run("plugins", "check", "acme", "--json")

    assert done.returncode == 0
    assert json.loads(done.stdout)["plugins"][0]["hooks"] == [point]


@pytest.mark.parametrize("how", ["raise SystemExit(4)", "import os; os._exit(4)", "raise KeyboardInterrupt"])
def test_no_plugin_ends_the_listing(site: Site, how: str) -> None:
    """The command with which one finds out must not be in its reach."""
    site.plugin("acme", how)

    done = site.run("plugins", "list", "--json")

    assert done.returncode == 0
    assert documents(done.stdout)["flashcore-acme"]["state"] == "broken"
