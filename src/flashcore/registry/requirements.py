"""What a plugin's distribution requires of ours. Installers check it once; nothing checks it when a program runs."""

from __future__ import annotations

from collections.abc import Iterable

from packaging.requirements import InvalidRequirement, Requirement
from packaging.version import InvalidVersion, Version

from flashcore.registry.rejection import incompatible
from flashcore.registry.reports import FRAMEWORK, Origin, normal

FOREIGN = "flashcore"
"""A distribution of somebody else, whose import package has the same name as ours."""


def require_fit(origin: Origin, requires: Iterable[str], version: str) -> None:
    """Raise Rejected when a requirement on our distribution excludes `version`."""
    for requirement in _parsed(requires):
        if normal(requirement.name) != FRAMEWORK:
            continue
        if not _fits(requirement, version):
            raise incompatible(
                f"it requires {FRAMEWORK}{requirement.specifier}; {version} is installed",
                f"pip install '{FRAMEWORK}{requirement.specifier}', or pip install --upgrade {origin.distribution}",
            )


def notes_on(requires: Iterable[str]) -> tuple[str, ...]:
    """What is odd about a plugin's requirements without keeping it from working."""
    if any(normal(requirement.name) == FOREIGN for requirement in _parsed(requires)):
        return (f"it depends on the distribution {FOREIGN!r}, which is another project; it should be {FRAMEWORK!r}",)
    return ()


def _parsed(requires: Iterable[str]) -> Iterable[Requirement]:
    for text in requires:
        try:
            requirement = Requirement(text)
        except InvalidRequirement:  # an old or hand-written file; the installer took it, so it is not ours to refuse
            continue
        if requirement.marker is None or requirement.marker.evaluate({"extra": ""}):
            yield requirement


def _fits(requirement: Requirement, version: str) -> bool:
    try:
        present = Version(version)
    except InvalidVersion:
        return True
    # A checkout of 0.3.0.dev1 is used with plugins for 0.3, which a strict comparison would refuse.
    candidates = {str(present), present.base_version} if present.is_devrelease else {str(present)}
    return any(requirement.specifier.contains(one, prereleases=True) for one in candidates)
