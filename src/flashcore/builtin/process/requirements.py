"""Whether what a template declares is there already."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from importlib.metadata import Distribution

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name


def unmet(requirements: Sequence[str], path: Sequence[str]) -> tuple[str, ...]:
    """Those that the packages in these folders cannot meet, each with what is there instead.

    Blocks for milliseconds.
    """
    return tuple(problem for text in requirements for problem in _problems(text, [*path], extras=frozenset()))


def _problems(text: str, path: list[str], extras: frozenset[str]) -> Iterator[str]:
    try:
        requirement = Requirement(text)
    except InvalidRequirement as error:
        yield f"{text} (it cannot be read: {error})"
        return
    if requirement.marker is not None and not _applies(requirement, extras):
        return
    found = next(iter(Distribution.discover(name=requirement.name, path=path)), None)
    if found is None:
        yield f"{text} (not installed)"
    elif requirement.specifier and not requirement.specifier.contains(found.version, prereleases=True):
        yield f"{text} (version {found.version} is installed)"
    elif requirement.extras:
        wanted = frozenset(canonicalize_name(extra) for extra in requirement.extras)
        for inner in found.requires or ():
            if "extra" in inner:
                yield from _problems(inner, path, wanted)


def _applies(requirement: Requirement, extras: frozenset[str]) -> bool:
    marker = requirement.marker
    return marker is None or any(marker.evaluate({"extra": extra}) for extra in (extras or {""}))
