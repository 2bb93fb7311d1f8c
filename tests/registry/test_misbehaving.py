"""What plugins do wrong: each becomes a state of that plugin, with a reason, and nothing else happens."""

import asyncio
import signal
import sys

import pytest
from tests.registry.conftest import Site

from flashcore.registry import loader
from flashcore.registry.importing import import_hooks
from flashcore.registry.reports import Origin, State
from flashcore.registry.scan import Candidate

HEAD = "from flashcore.plugin import Part, hookimpl\n"
GOOD = 'Part("flashcore_acme.parts:Strategy", "A strategy")'

# hooks module, state, part of the reason, part of the next step
WRONG = {
    "raises at import": ("1 / 0", State.BROKEN, "ZeroDivisionError: division by zero", "--no-plugin acme"),
    "a module that is not there": ("import nowhere_at_all", State.BROKEN, "No module named 'nowhere_at_all'", "pip"),
    "no Python": ("def (", State.BROKEN, "SyntaxError", "pip install --upgrade flashcore-acme"),
    "sys.exit at import": ("raise SystemExit(3)", State.BROKEN, "SystemExit: 3", "--no-plugin acme"),
    "an interrupt of its own": ("raise KeyboardInterrupt", State.BROKEN, "KeyboardInterrupt", "--no-plugin acme"),
    "an exception of its own root": (
        "class Odd(BaseException): pass\nraise Odd('very')",
        State.BROKEN,
        "Odd: very",
        "--no-plugin acme",
    ),
    "unknown hook": (
        HEAD + "@hookimpl\ndef flashcore_xylophones(): return {}",
        State.INCOMPATIBLE,
        "flashcore_xylophones, which this flashcore does not have",
        "pip install --upgrade flashcore-framework",
    ),
    "mistyped hook": (
        HEAD + "@hookimpl\ndef flashcore_strategy(): return {}",
        State.INCOMPATIBLE,
        "did you mean 'flashcore_strategies'",
        "call it flashcore_strategies",
    ),
    "hook without prefix": (
        HEAD + "@hookimpl\ndef strategies(): return {}",
        State.INCOMPATIBLE,
        "it implements strategies",
        "",
    ),
    "hook without mark": (
        "def flashcore_strategies(): return {}",
        State.BROKEN,
        "flashcore_strategies is not marked",
        "@hookimpl",
    ),
    "another name for a hook without prefix": (
        HEAD + "@hookimpl(specname='flashcore_strategies')\ndef mine(): return {}",
        State.BROKEN,
        "begins with flashcore_",
        "call it flashcore_strategies",
    ),
    "extra argument": (
        HEAD + "@hookimpl\ndef flashcore_strategies(colour): return {}",
        State.BROKEN,
        "{'colour'}",
        "correct the hook's arguments",
    ),
    "async hook": (
        HEAD + "@hookimpl\nasync def flashcore_strategies(): return {}",
        State.BROKEN,
        "async def",
        "plain def",
    ),
    "async generator": (
        HEAD + "@hookimpl\nasync def flashcore_event(event): yield",
        State.BROKEN,
        "async def",
        "plain def",
    ),
    "wrapper": (
        HEAD + "@hookimpl(wrapper=True)\ndef flashcore_strategies(): return (yield)",
        State.BROKEN,
        "wrapper",
        "plain function",
    ),
    "old wrapper": (
        HEAD + "@hookimpl(hookwrapper=True)\ndef flashcore_event(event): yield",
        State.BROKEN,
        "wrapper",
        "plain function",
    ),
    "generator": (
        HEAD + f"@hookimpl\ndef flashcore_strategies(): yield 'canary', {GOOD}",
        State.BROKEN,
        "generator",
        "return one dict",
    ),
    "returns a generator": (
        HEAD + f"@hookimpl\ndef flashcore_strategies(): return (x for x in [{GOOD}])",
        State.BROKEN,
        "must return a mapping from names to Part, not generator",
        "",
    ),
    "returns a coroutine": (
        HEAD + "async def later(): return {}\n@hookimpl\ndef flashcore_strategies(): return later()",
        State.BROKEN,
        "not coroutine",
        "",
    ),
    "returns nothing": (HEAD + "@hookimpl\ndef flashcore_strategies(): pass", State.BROKEN, "not NoneType", ""),
    "returns a list": (HEAD + f"@hookimpl\ndef flashcore_strategies(): return [{GOOD}]", State.BROKEN, "not list", ""),
    "a key that is no string": (
        HEAD + f"@hookimpl\ndef flashcore_strategies(): return {{7: {GOOD}}}",
        State.BROKEN,
        "[7]: a name is",
        "",
    ),
    "a key that is no name": (
        HEAD + f"@hookimpl\ndef flashcore_strategies(): return {{'My-Way': {GOOD}}}",
        State.BROKEN,
        "['My-Way']: a name is",
        "",
    ),
    "a value that is no record": (
        HEAD + "@hookimpl\ndef flashcore_strategies(): return {'canary': object}",
        State.BROKEN,
        "must be a Part",
        "",
    ),
    "a reference without a colon": (
        HEAD + "@hookimpl\ndef flashcore_strategies(): return {'canary': Part('acme.Canary', 'x')}",
        State.BROKEN,
        "ref must look like 'package.module:Attribute'",
        "",
    ),
    "no contract number": (
        HEAD + "@hookimpl\ndef flashcore_strategies(): return {'canary': Part('a:B', 'x', api=0)}",
        State.BROKEN,
        "api must be a contract number from 1",
        "",
    ),
    "a newer contract": (
        HEAD + "@hookimpl\ndef flashcore_strategies(): return {'canary': Part('a:B', 'x', api=7)}",
        State.INCOMPATIBLE,
        "strategy 'canary' is written for contract 7; this flashcore knows 1",
        "pip install --upgrade flashcore-framework",
    ),
    "a declaration that is no path": (
        HEAD + "@hookimpl\ndef flashcore_strategies(): return {'canary': Part('a:B', 'x', declares=('Canary',))}",
        State.BROKEN,
        "declares must hold 'package:Name'",
        "",
    ),
    "raises in a registry hook": (
        HEAD + "@hookimpl\ndef flashcore_strategies(): raise OSError('no disk')",
        State.BROKEN,
        "flashcore_strategies raised OSError: no disk",
        "",
    ),
    "sys.exit in a registry hook": (
        HEAD + "@hookimpl\ndef flashcore_strategies(): raise SystemExit",
        State.BROKEN,
        "flashcore_strategies raised SystemExit",
        "",
    ),
}


@pytest.mark.parametrize("fault", WRONG)
def test_a_plugin_that_misbehaves_is_named_with_reason_and_next_step(site: Site, fault: str) -> None:
    """Its state says what is wrong and what to do; everybody else's parts are there."""
    hooks, state, reason, step = WRONG[fault]
    site.plugin("acme", hooks, version="0.3.1")
    site.strategy("fine")

    registry = site.registry()
    (report,) = [one for one in registry.reports if one.origin.name == "acme"]

    assert str(report.origin) == "acme (flashcore-acme 0.3.1)"
    assert report.state is state
    assert reason in report.reason
    assert step in report.next_step
    assert report.next_step
    assert not report.offers
    assert "fine" in registry.strategies.names()
    assert "rolling" in registry.strategies.names()


@pytest.mark.parametrize("fault", ["async hook", "returns a list", "unknown hook", "sys.exit in a registry hook"])
def test_nothing_of_a_refused_plugin_is_called(site: Site, fault: str) -> None:
    """A plugin that is refused for one hook does not go on observing through another."""
    site.plugin("acme", WRONG[fault][0] + "\n@hookimpl\ndef flashcore_event(event): pass\n")

    assert list(site.registry().call_each("flashcore_event", event=None)) == []


def test_a_hook_may_leave_out_arguments(site: Site) -> None:
    """What an implementation does not ask for, it is not given: so hooks can gain arguments."""
    site.plugin("acme", HEAD + "@hookimpl\ndef flashcore_event(): return 'called'")

    (called,) = site.registry().call_each("flashcore_event", event=None)

    assert called.value == "called"


def test_a_hook_may_have_arguments_with_defaults_that_are_not_known_here(site: Site) -> None:
    """A plugin for a newer flashcore works with this one if it says what to assume."""
    site.plugin("acme", HEAD + "@hookimpl\ndef flashcore_event(event, tenant='none'): return tenant")

    (called,) = site.registry().call_each("flashcore_event", event=None)

    assert called.value == "none"


def test_an_optional_hook_that_is_unknown_is_no_fault(site: Site) -> None:
    """Pluggy's way of saying: for flashcores that have it."""
    site.plugin("acme", HEAD + "@hookimpl(optionalhook=True)\ndef flashcore_xylophones(): return {}")

    assert site.report("acme").state is State.ACTIVE


def test_an_entry_point_that_names_no_module_is_refused(site: Site) -> None:
    """As in `acme = flashcore_acme.hooks:plugin`."""
    site.metadata("flashcore-acme", "1.0", {"acme": "flashcore_acme.hooks:plugin"})

    assert "must name a module" in site.report("acme").reason


def test_two_entry_points_with_one_module_are_not_both_loaded(site: Site) -> None:
    """The same hooks under two names would offer everything twice."""
    site.strategy("acme")
    site.metadata("flashcore-acme", "1.0", {"acme": "flashcore_acme.hooks", "again": "flashcore_acme.hooks"})

    assert site.report("again").state is State.BROKEN
    assert "another plugin's hooks module already" in site.report("again").reason


def test_a_slow_import_is_measured_and_named(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """A hooks module has nothing to do; what makes it slow is said."""
    monkeypatch.setattr(loader, "SLOW_MS", 100.0)
    site.plugin("acme", "import threading\nthreading.Event().wait(0.2)\nimport flashcore_acme_dependency")
    dependency = site.folder / "flashcore_acme_dependency"
    dependency.mkdir()
    (dependency / "__init__.py").write_text("\n".join(f"from . import part{n}" for n in range(30)))
    for n in range(30):
        (dependency / f"part{n}.py").touch()

    report = site.report("acme")

    assert report.state is State.ACTIVE
    assert report.import_ms > 200
    assert report.heavy == ("flashcore_acme_dependency",)
    assert any("slow import" in note and "flashcore_acme_dependency" in note for note in report.notes)


def test_an_unknown_capability_is_noted(site: Site) -> None:
    """It may be of a newer flashcore; the part works without it."""
    part = 'Part("flashcore_acme.parts:Strategy", "x", capabilities=("teleport",))'
    site.plugin("acme", HEAD + f"@hookimpl\ndef flashcore_strategies(): return {{'acme': {part}}}")

    report = site.report("acme")

    assert report.state is State.ACTIVE
    assert report.notes == ("strategy 'acme' names the capability 'teleport', which is not known here",)


def test_what_a_plugin_prints_at_import_does_not_reach_standard_output(
    site: Site, capsys: pytest.CaptureFixture[str]
) -> None:
    """It would spoil the one document of a command with --json."""
    site.plugin("acme", "print('hello from acme')")

    site.loaded()

    captured = capsys.readouterr()
    assert captured.out == ""
    assert "hello from acme" in captured.err


def test_an_interrupt_from_the_keyboard_is_not_a_plugins_fault(site: Site) -> None:
    """Ctrl-C while a plugin is imported ends the program, as it does everywhere else."""
    site.plugin("acme", "import signal\nsignal.raise_signal(signal.SIGINT)\nfor _ in range(10**9): pass")

    with pytest.raises(KeyboardInterrupt):
        site.loaded()


def test_the_keyboards_handler_is_as_it_was_after_an_import(site: Site) -> None:
    """Whoever had set one, an event loop for example, still has it."""
    site.plugin("acme", "raise KeyboardInterrupt")
    before = signal.getsignal(signal.SIGINT)

    site.loaded()

    assert signal.getsignal(signal.SIGINT) is before


async def test_an_interrupt_is_told_apart_in_another_thread(site: Site) -> None:
    """Signals reach the main thread alone: elsewhere a KeyboardInterrupt is always the plugin's own."""
    site.plugin("acme", "raise KeyboardInterrupt")
    candidate = Candidate(Origin("acme"), "flashcore_acme.hooks", "")

    imported = await asyncio.to_thread(import_hooks, candidate)

    assert isinstance(imported.failure, KeyboardInterrupt)


def test_what_was_imported_before_is_left_as_it_was(site: Site) -> None:
    """A failing plugin leaves nothing of itself behind."""
    site.plugin("acme", "raise RuntimeError")

    site.loaded()

    assert "flashcore_acme.hooks" not in sys.modules
