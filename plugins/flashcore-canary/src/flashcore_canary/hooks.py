"""What the package offers to flashcore; nothing else of it is imported before a rollout needs it."""

from flashcore.plugin import Part, hookimpl


@hookimpl
def flashcore_strategies() -> dict[str, Part]:
    """The strategy by the name that a declaration uses."""
    capabilities = ("needs_percent_traffic",)
    return {"canary": _part("strategy:CanaryStrategy", "Canary", "A growing share of the calls", capabilities)}


@hookimpl
def flashcore_gates() -> dict[str, Part]:
    """The gate that each step of a canary asks; any other strategy's checkpoint can ask it too."""
    return {"analysis": _part("analysis:AnalysisGate", "Analysis", "Compare failures and latency of both sides")}


def _part(ref: str, form: str, summary: str, capabilities: tuple[str, ...] = ()) -> Part:
    path = f"flashcore_canary:{form}"
    # Where it is defined counts as well: that is what an object knows of its class.
    declares = (path, f"flashcore_canary.forms:{form}")
    return Part(f"flashcore_canary.{ref}", summary, options=path, declares=declares, capabilities=capabilities)
