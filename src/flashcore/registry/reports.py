"""What is known about a plugin: where it comes from, its state and why, and what it offers. Plain values."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import asdict, dataclass, replace
from enum import Enum
from typing import Any

from flashcore.hookspecs.records import Part

FRAMEWORK = "flashcore-framework"
"""Our own distribution. Its plugin holds the built-in parts and is always in: nothing works without it."""


class State(Enum):
    """Whether a plugin takes part, and if not, why not."""

    ACTIVE = "active"
    DISABLED = "disabled"
    """Somebody switched it off; it was not imported."""
    INCOMPATIBLE = "incompatible"
    """It is made for another version of flashcore."""
    BROKEN = "broken"
    """It cannot be imported, registered or used."""
    CONFLICT = "conflict"
    """Another plugin claims the same name; what is not contested still works."""

    @property
    def words(self) -> str:
        """As it follows "is" in a sentence."""
        return "in conflict" if self is State.CONFLICT else self.value


@dataclass(frozen=True, slots=True)
class Origin:
    """Who a plugin is: its entry point, and the distribution and version that it came in."""

    name: str
    distribution: str | None = None
    version: str | None = None

    @property
    def key(self) -> str:
        """Unique among the plugins of one process: two distributions may use one entry-point name."""
        return f"{self.name}@{normal(self.distribution)}" if self.distribution else self.name

    @property
    def built_in(self) -> bool:
        """Whether it is the plugin that comes with flashcore."""
        return normal(self.distribution) == FRAMEWORK

    def __str__(self) -> str:
        """As in `acme (flashcore-acme 0.3.1)`."""
        if self.distribution is None:
            return self.name
        return f"{self.name} ({self.distribution} {self.version or 'of unknown version'})"

    def answers_to(self, name: str) -> bool:
        """Whether somebody who writes `name` means this plugin: its entry point, its distribution, or `local`."""
        return normal(name) in {normal(self.name), normal(self.distribution or "local")}


@dataclass(frozen=True, slots=True)
class Offer:
    """A part that a plugin offers under a name at an extension point."""

    point: str
    name: str
    part: Part

    def __str__(self) -> str:
        """As in `strategy 'canary'`."""
        return titled(self.point, self.name)


@dataclass(frozen=True, slots=True)
class PluginReport:
    """One plugin as found on this machine."""

    origin: Origin
    module: str
    """The hooks module that its entry point names."""
    source: str
    """Where it was found: the path of its metadata, or of a project's own file."""
    state: State
    reason: str = ""
    """Why it is not active, one sentence; empty for an active plugin."""
    next_step: str = ""
    notes: tuple[str, ...] = ()
    """What is worth knowing of it whatever its state, one sentence each."""
    import_ms: float = 0.0
    """Wall time of importing the hooks module."""
    heavy: tuple[str, ...] = ()
    """Packages that this import loaded most of, the largest first."""
    offers: tuple[Offer, ...] = ()
    hooks: tuple[str, ...] = ()
    """Observing and amending hooks that it implements."""
    crashed: bool = False
    """Its examination ended or blocked the process: it is not imported again until its files change."""
    files: tuple[str, ...] = ()
    """Files that decide what this report says; when one changes, the report is out of date."""

    def turned(self, state: State, reason: str, next_step: str) -> PluginReport:
        """The same plugin in another state."""
        return replace(self, state=state, reason=reason, next_step=next_step)

    def noted(self, notes: Iterable[str]) -> PluginReport:
        """The same plugin with more notes."""
        return replace(self, notes=(*self.notes, *notes))

    @property
    def takes_part(self) -> bool:
        """Whether anything of it is used; what is not contested of a plugin in conflict is."""
        return self.state is State.ACTIVE or (self.state is State.CONFLICT and bool(self.offers or self.hooks))

    @property
    def healthy(self) -> bool:
        """Active, or off because somebody wants it so."""
        return self.state in (State.ACTIVE, State.DISABLED)


def titled(point: str, name: str) -> str:
    """A part in words: the extension point `routing_policies` and `hash` give `routing policy 'hash'`."""
    return f"{singular(point)} {name!r}"


def singular(point: str) -> str:
    """One part of an extension point in words: `routing_policies` gives `routing policy`."""
    words = point.replace("_", " ")
    return words.removesuffix("ies") + "y" if words.endswith("ies") else words.removesuffix("s")


def normal(name: str | None) -> str:
    """A distribution's name in its normal form, as package indexes compare names."""
    return re.sub(r"[-_.]+", "-", name or "").lower()


def report_to_json(report: PluginReport) -> dict[str, Any]:
    """A report as plain JSON values."""
    return {**asdict(report), "state": report.state.value}


def report_from_json(value: dict[str, Any]) -> PluginReport:
    """Read what report_to_json wrote. Raises KeyError, TypeError or ValueError for anything else."""
    plain = {**value, "origin": Origin(**value["origin"]), "state": State(value["state"])}
    for name in ("notes", "heavy", "hooks", "files"):
        plain[name] = tuple(value[name])
    plain["offers"] = tuple(_offer_from_json(offer) for offer in value["offers"])
    return PluginReport(**plain)


def _offer_from_json(value: dict[str, Any]) -> Offer:
    part = {**value["part"], "declares": tuple(value["part"]["declares"])}
    part["capabilities"] = tuple(value["part"]["capabilities"])
    return Offer(value["point"], value["name"], Part(**part))
