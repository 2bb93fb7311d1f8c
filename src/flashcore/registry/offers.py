"""What a plugin's registry hooks return: asked for, checked, and made into offers."""

from __future__ import annotations

import importlib
import re
from collections.abc import Iterable, Iterator, Mapping

from flashcore.hookspecs import ExtensionPoint, HookKind
from flashcore.hookspecs.records import PART_NAME, Part
from flashcore.registry.hook_table import Implementation
from flashcore.registry.rejection import broken, incompatible, told
from flashcore.registry.reports import FRAMEWORK, Offer, Origin, titled

_DECLARED = re.compile(r"[A-Za-z_][\w.]*:[A-Za-z_]\w*")


def offers_of(origin: Origin, implementations: Iterable[Implementation]) -> Iterator[Offer]:
    """Call a plugin's registry hooks and check what they return. Raises Rejected."""
    for implementation in implementations:
        if implementation.point.kind is HookKind.REGISTRY:
            for name, part in _returned(implementation).items():
                yield _checked(origin, implementation.point, name, part)


def notes_on(offers: Iterable[Offer], points: Mapping[str, ExtensionPoint]) -> Iterator[str]:
    """What is odd about offers without keeping them from working."""
    for offer in offers:
        known: frozenset[str] = getattr(
            importlib.import_module(points[offer.point].module), "CAPABILITIES", frozenset()
        )
        for capability in offer.part.capabilities:
            if capability not in known:
                yield f"{offer} names the capability {capability!r}, which is not known here"


def _returned(implementation: Implementation) -> Mapping[object, object]:
    hook = implementation.point.hook
    try:
        returned = implementation.function()
    except (Exception, SystemExit) as error:  # whatever a plugin raises is the plugin's failure, sys.exit included
        raise broken(f"{hook} raised {told(error)}") from error
    if isinstance(returned, Mapping):
        return returned
    if hasattr(returned, "close"):  # a coroutine or generator, which would complain later that nobody ran it
        returned.close()
    raise broken(f"{hook} must return a mapping from names to Part, not {type(returned).__name__}")


def _checked(origin: Origin, point: ExtensionPoint, name: object, part: object) -> Offer:
    where = f"{point.hook}()[{name!r}]"
    if not isinstance(name, str) or not PART_NAME.fullmatch(name):
        raise broken(f"{where}: a name is lower-case letters, digits and underscores, a letter first, at most 40")
    if not isinstance(part, Part):
        raise broken(f"{where} must be a Part of flashcore.plugin, not {type(part).__name__}")
    for declared in part.declares:
        if not _DECLARED.fullmatch(declared):
            raise broken(f"{where}: declares must hold 'package:Name', not {declared!r}")
    _require_contract(origin, point, name, part)
    return Offer(point.name, name, part)


def _require_contract(origin: Origin, point: ExtensionPoint, name: str, part: Part) -> None:
    known: range = importlib.import_module(point.module).API
    if part.api in known:
        return
    numbers = str(known[0]) if len(known) == 1 else f"{known[0]} to {known[-1]}"
    older = origin.distribution or f"write {origin.name} for contract {known[-1]}"
    raise incompatible(
        f"{titled(point.name, name)} is written for contract {part.api}; this flashcore knows {numbers} of that point",
        f"pip install --upgrade {FRAMEWORK if part.api > known[-1] else older}",
    )
