"""All that a plugin's hooks module imports: the marker for its hook functions and the record for its parts.

from flashcore.plugin import Part, hookimpl

@hookimpl
def flashcore_strategies():
    return {"canary": Part("flashcore_acme.canary:CanaryStrategy", "Weighted steps", options="flashcore_acme:Canary")}
"""

from __future__ import annotations

from flashcore.hookspecs.markers import hookimpl
from flashcore.hookspecs.records import Part, RecordError

__all__ = ["Part", "RecordError", "hookimpl"]
