"""Finding plugins: what is on the path, in an order that depends on names alone."""

import random
import sys
import zipfile
from collections.abc import Iterable, Sequence
from pathlib import Path

import importlib_metadata
import pytest
from tests.registry.conftest import Site

import flashcore
from flashcore.registry.scan import needs_metadata, scan


def names(path: Sequence[str], finders: Sequence[object] = ()) -> list[tuple[str, str | None, str | None]]:
    """Entry point, distribution and version of what is found."""
    return [(one.origin.name, one.origin.distribution, one.origin.version) for one in scan(path, finders)]


def test_a_plugin_is_found_with_its_distribution_and_requirements(site: Site) -> None:
    """What is known of a plugin comes from its metadata; nothing of it is imported."""
    site.plugin("acme", "raise SystemExit", version="0.3.1", requires=["flashcore-framework>=0.1", "numpy"])

    built_in, acme = scan([str(site.folder)])

    assert built_in.origin.built_in
    assert str(acme.origin) == "acme (flashcore-acme 0.3.1)"
    assert acme.module == "flashcore_acme.hooks"
    assert acme.requires == ("flashcore-framework>=0.1", "numpy")
    assert "flashcore_acme" not in sys.modules


def test_two_distributions_with_one_entry_point_are_both_found(site: Site) -> None:
    """Other loaders drop the second without a word."""
    site.plugin("acme", "", distribution="flashcore-acme")
    site.plugin("acme", "", distribution="other-acme")

    assert [one[1] for one in names([str(site.folder)])][1:] == ["flashcore-acme", "other-acme"]


def test_the_first_of_two_copies_on_the_path_counts(tmp_path: Path) -> None:
    """As for imports: an editable install hides the one in site-packages."""
    first, second = Site(tmp_path / "a"), Site(tmp_path / "b")
    for copy, version in ((first, "2.0"), (second, "1.0")):
        copy.folder.mkdir()
        copy.plugin("acme", "", version=version)

    assert names([str(first.folder), str(second.folder)])[1:] == [("acme", "flashcore-acme", "2.0")]
    assert names([str(second.folder), str(first.folder)])[1:] == [("acme", "flashcore-acme", "1.0")]


def test_order_does_not_depend_on_path_or_directory_order(tmp_path: Path) -> None:
    """The order of a directory listing differs between machines, that of names does not."""
    folders = []
    for position, name in enumerate(["zeta", "mid", "alpha", "beta"]):
        one = Site(tmp_path / str(position))
        one.folder.mkdir()
        one.plugin(name, "")
        folders.append(str(one.folder))

    orders = set()
    for seed in range(8):
        random.Random(seed).shuffle(folders)
        orders.add(tuple(one.origin.name for one in scan(folders)))

    assert orders == {("builtin", "alpha", "beta", "mid", "zeta")}


def test_remains_and_unreadable_folders_are_left_alone(site: Site) -> None:
    """Leftovers of pip, folders that are not there and metadata in another encoding are no plugins."""
    info = site.metadata("flashcore-acme", "1.0", {"acme": "flashcore_acme.hooks"})
    info.rename(info.with_name("~lashcore_acme-1.0.dist-info"))
    broken = site.metadata("flashcore-odd", "1.0", {"odd": "x"})
    (broken / "entry_points.txt").write_bytes(b"[flashcore]\n\xff = x")

    assert names([str(site.folder), str(site.folder / "nowhere")]) == [
        ("builtin", "flashcore-framework", flashcore.__version__)
    ]


def test_metadata_without_name_and_version_is_known_by_its_folder(site: Site) -> None:
    """A damaged installation is still one that a person can be told of."""
    info = site.metadata("flashcore-acme", "1.0", {"acme": "flashcore_acme.hooks"})
    (info / "METADATA").unlink()
    (site.folder / "unversioned.egg-info").mkdir()
    (site.folder / "unversioned.egg-info" / "entry_points.txt").write_text("[flashcore]\nnone = none.hooks\n")

    assert names([str(site.folder)])[1:] == [("acme", "flashcore_acme", "1.0"), ("none", "unversioned", None)]


def test_an_egg_info_folder_is_read_with_its_requirements(site: Site) -> None:
    """What old build tools leave in a source tree."""
    info = site.folder / "old_plugin.egg-info"
    info.mkdir()
    (info / "PKG-INFO").write_text("Name: old-plugin\nVersion: 0.9\n")
    (info / "entry_points.txt").write_text("[flashcore]\nold=old_plugin.hooks\n")
    (info / "requires.txt").write_text("flashcore-framework>=9\n\n[extra]\nnumpy\n")

    (_, old) = scan([str(site.folder)])

    assert (old.origin.distribution, old.origin.version) == ("old-plugin", "0.9")
    assert old.requires == ("flashcore-framework>=9",)


def test_a_zip_file_on_the_path_is_looked_into(site: Site, tmp_path: Path) -> None:
    """Where a directory cannot be read, importlib_metadata is asked."""
    site.plugin("acme", "", version="0.4")
    archive = tmp_path / "bundle.zip"
    with zipfile.ZipFile(archive, "w") as bundle:
        for file in site.folder.rglob("*"):
            bundle.write(file, file.relative_to(site.folder))

    assert needs_metadata([str(archive)], [])
    assert names([str(archive)])[1:] == [("acme", "flashcore-acme", "0.4")]


class Elsewhere:
    """A finder whose distributions are in no folder."""

    def find_spec(self, name: str, path: object = None, target: object = None) -> None:
        """No modules, only metadata."""

    def find_distributions(self, context: object = None) -> Iterable[importlib_metadata.Distribution]:
        """One plugin out of thin air."""
        wanted = getattr(context, "name", None)
        return [_FromNowhere()] if wanted in (None, "flashcore-nowhere") else []


class _FromNowhere(importlib_metadata.Distribution):
    def read_text(self, filename: str) -> str | None:
        return {
            "METADATA": "Metadata-Version: 2.1\nName: flashcore-nowhere\nVersion: 3.0\n",
            "entry_points.txt": "[flashcore]\nnowhere = flashcore_nowhere.hooks\n",
        }.get(filename)

    def locate_file(self, path: object) -> Path:
        return Path("nowhere")


def test_a_finder_that_is_not_path_based_is_asked(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """Plugins may come from where no directory is; those in directories are found as well."""
    finder = Elsewhere()
    monkeypatch.setattr(sys, "meta_path", [*sys.meta_path, finder])
    site.plugin("acme", "")

    found = names([str(site.folder)], sys.meta_path)

    assert ("nowhere", "flashcore-nowhere", "3.0") in found
    assert ("acme", "flashcore-acme", "1.0") in found


def test_the_interpreters_own_finders_need_no_metadata() -> None:
    """The fast way is the usual one."""
    assert not needs_metadata([entry for entry in sys.path if Path(entry).is_dir()], sys.meta_path)
