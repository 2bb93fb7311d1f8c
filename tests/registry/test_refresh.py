"""Examining plugins in a process of its own, which they may take down."""

import subprocess
import sys
import time
import zipapp
import zipfile
from pathlib import Path

import pytest
from tests.registry.conftest import Site

import flashcore
from flashcore.registry import index
from flashcore.registry.index import survey
from flashcore.registry.opening import open_registry
from flashcore.registry.refresh import examine
from flashcore.registry.reports import State

CRASHES = {
    "os._exit": ("import os; os._exit(3)", "exit status 3"),
    "a signal": ("import os, signal; os.kill(os.getpid(), signal.SIGSEGV)", "signal SIGSEGV"),
    "last words": ("import os, sys; print('out of luck', file=sys.stderr, flush=True); os._exit(1)", "out of luck"),
    "blocking": ("import threading; threading.Event().wait()", "longer than 1 s"),
    "blocking in a hook": (
        "import threading\nfrom flashcore.plugin import *\n@hookimpl\ndef flashcore_gates(): threading.Event().wait()",
        "longer than 1 s",
    ),
}


@pytest.mark.parametrize("crash", CRASHES)
def test_a_plugin_that_takes_its_process_down_is_blamed(site: Site, crash: str) -> None:
    """It is broken, with how it ended; all others are examined."""
    hooks, how = CRASHES[crash]
    site.plugin("acme", hooks)
    site.strategy("zebra")

    reports = {report.origin.name: report for report in examine(site.setting(None), deadline=1)}

    assert reports["acme"].state is State.BROKEN
    assert how in reports["acme"].reason
    assert reports["acme"].crashed
    assert reports["zebra"].state is State.ACTIVE
    assert reports["builtin"].state is State.ACTIVE


def test_several_crashing_plugins_are_all_blamed(site: Site) -> None:
    """Each costs one more try."""
    for name in ("one", "two", "three"):
        site.plugin(name, CRASHES["os._exit"][0])

    reports = examine(site.setting(None))

    assert [report.origin.name for report in reports if report.crashed] == ["one", "three", "two"]


def test_a_known_crasher_is_not_imported_again(site: Site, cache: Path, settled: object) -> None:
    """The kept survey saves the processes that do the work, too."""
    site.plugin("acme", CRASHES["os._exit"][0])
    site.strategy("zebra")
    assert callable(settled)
    settled(site.folder)
    setting = site.setting(cache)
    survey(setting)

    registry = open_registry(setting)

    (acme,) = [report for report in registry.reports if report.origin.name == "acme"]
    assert acme.state is State.BROKEN
    assert "exit status 3" in acme.reason
    assert "zebra" in registry.strategies.names()


def test_what_plugins_print_and_start_goes_nowhere(site: Site, capfd: pytest.CaptureFixture[str]) -> None:
    """Neither output nor threads nor exit functions of theirs reach whoever asked."""
    site.plugin(
        "acme",
        """
        import atexit, os, threading, time
        os.write(1, b"raw output")
        print("polite output")
        atexit.register(os._exit, 9)
        threading.Thread(target=time.sleep, args=(60,)).start()
        """,
    )

    reports = examine(site.setting(None))

    assert [report.state for report in reports] == [State.ACTIVE, State.ACTIVE]
    assert capfd.readouterr().out == ""


def runs(pid: int) -> bool:
    """Whether a process is there and is no zombie that nobody has waited for."""
    shown = subprocess.run(["ps", "-o", "stat=", "-p", str(pid)], capture_output=True, text=True, check=False).stdout
    return shown.strip() != "" and not shown.strip().startswith("Z")


def test_processes_that_a_plugin_starts_are_ended(site: Site, tmp_path: Path) -> None:
    """Nothing is left running by a help page."""
    record = tmp_path / "pid"
    site.plugin(
        "acme",
        f"""
        import pathlib, subprocess, sys
        child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
        pathlib.Path({str(record)!r}).write_text(str(child.pid))
        """,
    )

    examine(site.setting(None))

    deadline = time.monotonic() + 60
    while runs(int(record.read_text())) and time.monotonic() < deadline:
        pass  # it was killed; the system takes its time
    assert not runs(int(record.read_text()))


def test_a_plugin_that_runs_flashcore_at_import_does_not_recurse(site: Site) -> None:
    """The inner one knows no plugins."""
    site.plugin(
        "acme",
        """
        import os, sys
        from flashcore.registry.index import setting_of_process, survey
        if survey(setting_of_process([], {})) != ():
            raise RuntimeError("recursion")
        """,
    )

    assert [report.state for report in examine(site.setting(None))] == [State.ACTIVE, State.ACTIVE]


def test_an_interpreter_that_does_not_start_is_told_of(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """Then nothing is known of any plugin, and help is still there."""
    site.strategy("acme")
    monkeypatch.setattr(sys, "executable", str(site.folder / "no-python"))

    reports = examine(site.setting(None))

    assert [report.state for report in reports] == [State.BROKEN, State.BROKEN]
    assert "no plugin could be examined" in reports[1].reason


def test_the_present_process_imports_no_plugin(site: Site, cache: Path) -> None:
    """That is what the other one is for."""
    site.strategy("acme")

    survey(site.setting(cache))

    assert "flashcore_acme.hooks" not in sys.modules


def test_plugins_are_found_from_within_a_zipapp(site: Site, tmp_path: Path) -> None:
    """Flashcore and a plugin in one archive: the archive is looked into, and its own examining process too."""
    site.strategy("acme")
    source = tmp_path / "source"
    with zipfile.ZipFile(tmp_path / "content.zip", "w") as content:
        for root in (Path(flashcore.__file__).parent, site.folder / "flashcore_acme"):
            for file in root.rglob("*.py"):
                content.write(file, Path(root.name) / file.relative_to(root))
        for file in (site.folder / "flashcore_acme-1.0.dist-info").iterdir():
            content.write(file, Path(file.parent.name) / file.name)
    zipfile.ZipFile(tmp_path / "content.zip").extractall(source)
    (source / "__main__.py").write_text(
        "import os, sys\n"
        "from flashcore.registry.index import setting_of_process, survey\n"
        "import flashcore; print(flashcore.__file__)\n"
        "for report in survey(setting_of_process([], os.environ)): print(report.origin.name, report.state.value)\n"
    )
    archive = tmp_path / "app.pyz"
    zipapp.create_archive(source, archive)

    done = subprocess.run([sys.executable, str(archive)], capture_output=True, text=True, cwd=tmp_path, check=False)

    lines = done.stdout.splitlines()
    assert lines[0].startswith(str(archive)), done.stderr
    assert "acme active" in lines
    assert "builtin active" in lines


def test_a_survey_that_was_kept_is_used(site: Site, cache: Path, settled: object) -> None:
    """The process is started once."""
    site.strategy("acme")
    assert callable(settled)
    settled(site.folder)
    setting = site.setting(cache)

    first = survey(setting)

    assert index.read(setting) == first
