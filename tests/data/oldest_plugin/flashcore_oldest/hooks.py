"""What the plugin offers."""

from collections.abc import Mapping

from flashcore.model.events import Event
from flashcore.model.revision import RevisionContent
from flashcore.plugin import Part, hookimpl

HEARD: list[str] = []


@hookimpl
def flashcore_strategies() -> Mapping[str, Part]:
    """One strategy, with every field of a record."""
    return {
        "halves": Part(
            ref="flashcore_oldest.parts:HalvesStrategy",
            summary="In two halves",
            api=1,
            options="flashcore_oldest:Halves",
            declares=("flashcore_oldest:Halves",),
            capabilities=("needs_individual",),
            replaces=None,
        )
    }


@hookimpl
def flashcore_gates() -> Mapping[str, Part]:
    """One gate."""
    return {"odd_seconds": Part("flashcore_oldest.parts:OddSeconds", "Passes in odd seconds")}


@hookimpl
def flashcore_routing_policies() -> Mapping[str, Part]:
    """One routing policy."""
    return {"last": Part("flashcore_oldest.parts:Last", "The last of them")}


@hookimpl
def flashcore_scalers() -> Mapping[str, Part]:
    """One scaler."""
    return {"one_more": Part("flashcore_oldest.parts:OneMore", "One more than wanted")}


@hookimpl
def flashcore_event(event: Event) -> None:
    """Remember what happened."""
    HEARD.append(event.kind)


@hookimpl
def flashcore_replica_env(revision: RevisionContent, env: Mapping[str, str]) -> Mapping[str, str]:
    """Add a variable."""
    return {**env, "OLDEST": revision.endpoint}
