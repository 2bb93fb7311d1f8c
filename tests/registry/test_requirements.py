"""What a plugin requires of flashcore itself."""

import pytest
from tests.registry.conftest import Site

from flashcore.registry.rejection import Rejected
from flashcore.registry.reports import Origin, State
from flashcore.registry.requirements import notes_on, require_fit

ACME = Origin("acme", "flashcore-acme", "1.0")


@pytest.mark.parametrize(
    ("requires", "version"),
    [
        ([], "0.3.0"),
        (["numpy>=9", "flashcore-framework"], "0.3.0"),
        (["flashcore-framework>=0.3,<0.4"], "0.3.9"),
        (["Flashcore.Framework[routing]>=0.3"], "0.3.0"),
        (["flashcore-framework>=0.3"], "0.3.0.dev1"),
        (["flashcore-framework>=0.3"], "0.3.1rc1"),
        (['flashcore-framework>=9; extra == "docs"'], "0.3.0"),
        (['flashcore-framework>=9; python_version < "3"'], "0.3.0"),
        (["this is no requirement", "flashcore-framework>=0.3"], "0.3.0"),
        (["flashcore-framework>=9"], "unknown"),
    ],
)
def test_what_fits_passes(requires: list[str], version: str) -> None:
    """Also a checkout on the way to the version that is required, and what is not for this interpreter."""
    require_fit(ACME, requires, version)


@pytest.mark.parametrize(
    ("requires", "version"),
    [
        (["flashcore-framework>=0.4"], "0.3.0"),
        (["flashcore_framework<0.3"], "0.3.0"),
        (["flashcore-framework>=0.3"], "0.3.0rc1"),
        (["flashcore-framework<0.3"], "0.3.0.dev1"),
        (["flashcore-framework!=0.3.*"], "0.3.7"),
        (['flashcore-framework>=9; python_version > "3"'], "0.3.0"),
    ],
)
def test_what_does_not_fit_is_incompatible(requires: list[str], version: str) -> None:
    """Installers check this once; a later upgrade of flashcore goes unnoticed otherwise."""
    with pytest.raises(Rejected) as caught:
        require_fit(ACME, requires, version)

    assert caught.value.state is State.INCOMPATIBLE
    assert f"{version} is installed" in caught.value.reason
    assert "pip install 'flashcore-framework" in caught.value.next_step


def test_a_plugin_that_does_not_fit_is_not_imported(site: Site) -> None:
    """It would fail in its own way, far from the reason."""
    site.plugin("acme", "raise SystemExit", requires=["flashcore-framework>=99"])

    report = site.report("acme")

    assert report.state is State.INCOMPATIBLE
    assert report.import_ms == 0


def test_depending_on_the_other_project_of_our_name_is_noted(site: Site) -> None:
    """A plugin's author may well write `flashcore`, and would overwrite our files with it."""
    site.plugin("acme", "", requires=["flashcore>=0.1"])

    report = site.report("acme")

    assert report.state is State.ACTIVE
    assert "another project" in report.notes[0]
    assert notes_on(["flashcore-framework"]) == ()
