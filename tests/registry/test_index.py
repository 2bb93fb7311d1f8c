"""The kept survey: made once, good until something changes, and never in the way."""

import concurrent.futures
import json
import multiprocessing
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.registry.conftest import ONE_STRATEGY, Site

from flashcore.registry import index
from flashcore.registry.index import Setting, setting_of_process, survey
from flashcore.registry.policy import Ban, Policy
from flashcore.registry.reports import PluginReport, State

Settle = Callable[[Path], None]


@pytest.fixture
def kept(site: Site, cache: Path, settled: Settle) -> Setting:
    """A setting with one plugin, `acme`, whose survey has been made and kept."""
    site.strategy("acme", "canary")
    settled(site.folder)
    setting = site.setting(cache)
    survey(setting)
    return setting


def acme(setting: Setting) -> PluginReport | None:
    """The plugin in the kept survey, None when there is no survey that may be used."""
    reports = index.read(setting)
    return None if reports is None else next((one for one in reports if one.origin.name == "acme"), None)


def test_a_survey_is_kept_whole(site: Site, kept: Setting) -> None:
    """What is read is what was found, down to the records."""
    fresh = site.loaded().reports

    report = acme(kept)

    assert report is not None
    assert report.offers == fresh[1].offers
    assert report.offers[0].part.options == "flashcore_acme.parts:Options"
    assert (report.origin, report.state, report.module) == (fresh[1].origin, State.ACTIVE, "flashcore_acme.hooks")


def test_an_installation_is_noticed(site: Site, kept: Setting) -> None:
    """A new folder of metadata changes the directory that it is in."""
    site.strategy("other")

    assert index.read(kept) is None
    assert {report.origin.name for report in survey(kept)} == {"builtin", "acme", "other"}


def test_an_upgrade_is_noticed(site: Site, kept: Setting) -> None:
    """The version is in the name of the folder of metadata."""
    old = site.folder / "flashcore_acme-1.0.dist-info"
    old.rename(site.folder / "flashcore_acme-2.0.dist-info")
    (site.folder / "flashcore_acme-2.0.dist-info" / "METADATA").write_text("Name: flashcore-acme\nVersion: 2.0\n")

    assert index.read(kept) is None
    assert survey(kept)[1].origin.version == "2.0"


def test_an_edit_of_a_hooks_module_is_noticed(site: Site, kept: Setting) -> None:
    """An editable installation changes without its directory changing."""
    hooks = site.folder / "flashcore_acme" / "hooks.py"
    hooks.write_text(ONE_STRATEGY.format(name="finch", module="flashcore_acme"))

    assert index.read(kept) is None
    assert survey(kept)[1].offers[0].name == "finch"


def test_an_edit_that_keeps_the_size_is_noticed(site: Site, kept: Setting) -> None:
    """By its time, in nanoseconds."""
    hooks = site.folder / "flashcore_acme" / "hooks.py"
    hooks.write_text(hooks.read_text().replace("canary", "yranac"))

    assert index.read(kept) is None


def test_an_edit_with_a_clock_that_was_set_back_is_noticed(site: Site, kept: Setting) -> None:
    """Times are compared for equality: a file from the past is another file."""
    hooks = site.folder / "flashcore_acme" / "hooks.py"
    os.utime(hooks, ns=(0, 1_000_000_000))

    assert index.read(kept) is None


def test_an_edit_of_the_entry_points_is_noticed(site: Site, kept: Setting) -> None:
    """Installing an editable package again may rewrite the file in its place."""
    points = site.folder / "flashcore_acme-1.0.dist-info" / "entry_points.txt"
    points.write_text("[flashcore]\nrenamed = flashcore_acme.hooks\n")

    assert index.read(kept) is None
    assert survey(kept)[1].origin.name == "renamed"


def test_a_removal_is_noticed(site: Site, kept: Setting) -> None:
    """Nothing of a removed plugin is left in the listing."""
    for file in (site.folder / "flashcore_acme-1.0.dist-info").iterdir():
        file.unlink()
    (site.folder / "flashcore_acme-1.0.dist-info").rmdir()

    assert [report.origin.name for report in survey(kept)] == ["builtin"]


def test_mending_a_broken_plugin_is_noticed(site: Site, cache: Path, settled: Settle) -> None:
    """The file in which an import failed is watched, though there is no module."""
    site.plugin("acme", "import flashcore_acme.deep", files={"deep.py": "1 / 0"})
    settled(site.folder)
    setting = site.setting(cache)
    assert survey(setting)[1].state is State.BROKEN
    assert index.read(setting) is not None

    (site.folder / "flashcore_acme" / "deep.py").write_text("")

    assert index.read(setting) is None
    assert survey(setting)[1].state is State.ACTIVE


@pytest.mark.parametrize(("age", "is_kept"), [(1_000_000, False), (-1_000_000, False), (60_000_000, True)])
def test_what_was_written_just_now_is_not_kept(
    kept: Setting, monkeypatch: pytest.MonkeyPatch, age: int, is_kept: object
) -> None:
    """A file may change again within one tick of the file system's clock, and nobody could tell."""
    reports, stamps = index.read(kept) or (), [index.stamp(kept.path[0])]
    newest = max(index.stamp(path)[1] for path in (kept.path[0], *(file for one in reports for file in one.files)))
    assert kept.file is not None
    kept.file.unlink()

    monkeypatch.setattr(time, "time_ns", lambda: newest + age)
    index.write(kept, reports, stamps)

    assert kept.file.exists() is is_kept


@pytest.mark.parametrize("text", ["", "{", "[]", "null", '{"identity": 3}', "\x00", '{"identity": [], "stamps": 3}'])
def test_a_corrupt_survey_is_made_again(kept: Setting, text: str) -> None:
    """It is a cache."""
    assert kept.file is not None
    kept.file.write_text(text)

    assert index.read(kept) is None
    assert len(survey(kept)) == 2
    assert index.read(kept) is not None


@pytest.mark.parametrize("damage", [{"reports": [{}]}, {"reports": 7}, {"stamps": [[]]}])
def test_a_survey_of_another_form_is_made_again(kept: Setting, damage: dict[str, object]) -> None:
    """Every part of the file may be wrong."""
    assert kept.file is not None
    kept.file.write_text(json.dumps({**json.loads(kept.file.read_text()), **damage}))

    assert index.read(kept) is None


def test_a_survey_of_another_user_is_not_read(kept: Setting, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is in it is imported; root with somebody's HOME must not import what they like."""
    monkeypatch.setattr(os, "geteuid", lambda: 12345)

    assert index.read(kept) is None


def test_a_folder_that_cannot_be_written_to_is_no_error(site: Site, tmp_path: Path, settled: Settle) -> None:
    """The survey is made every time."""
    site.strategy("acme")
    settled(site.folder)
    occupied = tmp_path / "occupied"
    occupied.write_text("a file where the folder should be")
    setting = site.setting(occupied / "cache")

    assert len(survey(setting)) == 2
    assert len(survey(setting)) == 2


def in_threads() -> concurrent.futures.Executor:
    """Writers in this process."""
    return concurrent.futures.ThreadPoolExecutor(3)


def in_processes() -> concurrent.futures.Executor:
    """Writers in processes of their own; not forked, this one has threads."""
    return concurrent.futures.ProcessPoolExecutor(2, mp_context=multiprocessing.get_context("spawn"))


@pytest.mark.parametrize("writers", [in_threads, in_processes])
def test_several_may_write_at_once(kept: Setting, writers: Callable[[], concurrent.futures.Executor]) -> None:
    """Whoever reads sees one whole survey or the other; nothing half-written is left."""
    reports = index.read(kept) or ()
    stamps = [index.stamp(kept.path[0])]

    with writers() as pool:
        writing = [pool.submit(index.write, kept, reports, stamps) for _ in range(100)]
        while not all(one.done() for one in writing):
            assert index.read(kept) == reports

    assert [one.result() for one in writing] == [None] * 100
    assert kept.cache is not None
    assert [file.suffix for file in kept.cache.iterdir()] == [".json"]


def test_each_policy_has_its_survey(site: Site, kept: Setting) -> None:
    """A run without a plugin does not spoil the survey of the next with it."""
    without = site.under(Policy(bans=(Ban("acme", "--no-plugin"),))).setting(kept.cache)

    assert survey(without)[1].state is State.DISABLED
    assert acme(kept) is not None
    assert acme(without) is not None


def test_strictness_is_no_matter_of_the_survey(site: Site, kept: Setting) -> None:
    """It changes what is made of the states, not the states."""
    assert acme(site.under(Policy(strict=True)).setting(kept.cache)) is not None


def test_old_surveys_are_removed(site: Site, kept: Setting) -> None:
    """Environments come and go; their surveys do not pile up."""
    assert kept.cache is not None
    for n in range(50):
        old = kept.cache / f"plugins-{n:08d}.json"
        old.write_text("{}")
        os.utime(old, (n, n))

    index.write(kept, index.read(kept) or (), [index.stamp(site.folder)])

    names = sorted(file.name for file in kept.cache.iterdir())
    assert len(names) == 32
    assert "plugins-00000000.json" not in names
    assert acme(kept) is not None


def test_finders_of_unknown_kind_keep_nothing(kept: Setting) -> None:
    """Nobody can see when what they know changes."""
    unknown = Setting(kept.policy, kept.path, cache=kept.cache, finders=("somewhere.Finder",))

    assert unknown.file is None
    assert len(survey(unknown)) == 2


def test_a_variable_switches_keeping_off(cache: Path) -> None:
    """For read-only homes, and for looking for a mistake in here."""
    assert setting_of_process([], {"XDG_CACHE_HOME": str(cache)}).file is not None
    assert setting_of_process([], {"XDG_CACHE_HOME": str(cache), "FLASHCORE_NO_CACHE": "1"}).file is None
    assert setting_of_process([], {}).file is None


def test_the_working_directory_matters_only_with_a_distribution_in_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else every folder in which a command is called would have a survey of its own."""
    plain, checkout = tmp_path / "plain", Site(tmp_path / "checkout")
    plain.mkdir()
    checkout.folder.mkdir()
    checkout.strategy("acme")
    monkeypatch.setattr(sys, "path", ["", *sys.path])

    monkeypatch.chdir(plain)
    without = setting_of_process([], {}).path
    monkeypatch.chdir(checkout.folder)
    within = setting_of_process([], {}).path

    assert str(plain) not in without
    assert str(checkout.folder) in within


def test_surveys_are_kept_where_caches_are_kept(tmp_path: Path) -> None:
    """By the system's custom, in a folder that nobody else can write to."""
    custom = setting_of_process([], {"HOME": str(tmp_path), "XDG_CACHE_HOME": str(tmp_path / "x")}).cache
    usual = setting_of_process([], {"HOME": str(tmp_path)}).cache

    assert custom == tmp_path / "x" / "flashcore"
    assert usual is not None
    assert usual.name == "flashcore"
    assert usual.parent.name == ("Caches" if sys.platform == "darwin" else ".cache")


def test_the_folder_of_surveys_is_ones_own(kept: Setting) -> None:
    """What is in it is imported."""
    assert kept.cache is not None
    assert kept.cache.stat().st_mode & 0o077 == 0


def test_a_kept_survey_is_not_made_again(kept: Setting, monkeypatch: pytest.MonkeyPatch) -> None:
    """There would be no interpreter to make it with."""
    monkeypatch.setattr(sys, "executable", "nowhere")

    assert survey(kept) == index.read(kept)


COMMAND = """
from flashcore.plugin import Part, hookimpl

@hookimpl
def flashcore_commands():
    return {{"{name}": Part("a.b:c", "{name}")}}

@hookimpl
def flashcore_gates():
    return {{"no_command_{name}": Part("a.b:c", "A gate")}}
"""


def test_commands_are_listed_by_the_name_that_is_typed(site: Site) -> None:
    """One that two plugins claim belongs to neither; parts of other kinds are no commands."""
    for plugin, name in (("one", "tidy_up"), ("two", "shared"), ("three", "shared")):
        site.plugin(plugin, COMMAND.format(name=name))
    site.plugin("torn", COMMAND.format(name="lost") + "\n1 / 0")
    reports = site.loaded().reports

    commands = index.commands_of(reports)

    assert {name: (report.origin.name, offer.name) for name, (report, offer) in commands.items()} == {
        "tidy-up": ("one", "tidy_up")
    }
    assert [line.split()[0] for line in index.problems_of(reports)] == ["three", "torn", "two"]


def test_reading_imports_nothing_heavy(site: Site, kept: Setting) -> None:
    """It is on the way to `flashcore --help`."""
    code = f"""
import sys
from pathlib import Path
from flashcore.registry import index
from flashcore.registry.policy import Policy
setting = index.Setting(Policy(), {kept.path!r}, cache=Path({str(kept.cache)!r}))
assert len(index.read(setting)) == 2
for name in ("pluggy", "importlib.metadata", "importlib_metadata", "pydantic", "fastapi", "asyncio", "subprocess",
             "packaging", "cloudpickle", "rich", "click", "difflib", "tomllib"):
    assert name not in sys.modules, name
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)

    assert done.stderr == ""


def test_a_lone_optimised_interpreter_reads_and_makes_surveys(site: Site, cache: Path, settled: Settle) -> None:
    """`python -O` drops assertions; nothing of the loader hangs on one."""
    site.strategy("acme")
    settled(site.folder)
    code = f"""
from pathlib import Path
from flashcore.registry import index
from flashcore.registry.policy import Policy
setting = index.Setting(Policy(), ({str(site.folder)!r},), cache=Path({str(cache)!r}))
print([report.state.value for report in index.survey(setting)], index.read(setting) is not None)
"""
    done = subprocess.run([sys.executable, "-O", "-c", code], capture_output=True, text=True, check=False)

    assert done.stdout.strip() == "['active', 'active'] True", done.stderr
