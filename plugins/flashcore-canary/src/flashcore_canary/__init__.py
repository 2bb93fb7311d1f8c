"""A canary strategy for flashcore, and the gate that compares its two sides.

What user code writes in a declaration is here: `QueueEndpoint("embed", strategy=Canary(weights=(5, 25)))`.
What decides is in modules of its own, which only the control plane imports.
"""

from flashcore_canary.forms import Analysis, Canary

__all__ = ["Analysis", "Canary"]
