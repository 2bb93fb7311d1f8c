# model      values: names, declarations, revisions, jobs, errors        imports nothing of ours
# wire       what processes say to each other                            model
# hookspecs  the contracts, one file per extension point                 model, wire
# plugin     what a plugin's hooks module imports                        hookspecs
# registry   finds, checks and makes the parts that plugins offer        plugin and below
# build      source tree -> manifest, handlers, artifacts                registry and below, client's settings
# control    goal -> rollout -> replicas; gateway: calls -> replicas     registry and below
# client     what user code declares and calls with                      model, wire: it travels inside artifacts
# worker     what runs inside a replica                                  model, wire: it travels inside artifacts
# builtin    the parts that come along, as plugins                       what anybody's plugin may import
# composition -> server -> cli put it together; testing holds the kits for authors of plugins
"""Serve Python functions as endpoints and ship new versions of them without dropping a request."""

from __future__ import annotations

# As checkers of types know it. To import `typing` takes as long as all that a command does before it hears Ctrl-C.
TYPE_CHECKING = False

if TYPE_CHECKING:
    from flashcore.client.endpoints import Endpoint, LoadBalancedEndpoint, QueueEndpoint, ScriptEndpoint
    from flashcore.client.functions import RemoteClass, RemoteFunction
    from flashcore.client.handle import JobHandle
    from flashcore.client.remote import remote
    from flashcore.model.declaration import Bounds, ProbePolicy, Volume
    from flashcore.model.errors import (
        BuildError,
        CannotUnpickle,
        ConfigurationError,
        Conflict,
        DeadlineExceeded,
        FlashcoreError,
        IllegalMove,
        IncompatiblePeer,
        InvalidDeclaration,
        InvalidName,
        InvalidOptions,
        NotFound,
        PluginError,
        ProtocolError,
        PythonMismatch,
        Refused,
        RemoteError,
        SignatureRefused,
        StateCorrupt,
        StateError,
        StateTooNew,
        StorageFull,
        StreamFull,
        Unauthorized,
        Unavailable,
        UnknownPart,
        Unserializable,
        UsageError,
    )
    from flashcore.model.job import JobStatus
    from flashcore.model.parts import (
        BlueGreen,
        Delay,
        ExecProbe,
        Fixed,
        HashRouting,
        Heartbeat,
        HttpProbe,
        Manual,
        PartRef,
        QueueDelay,
        Recreate,
        RequestCount,
        Rolling,
        StickyRouting,
        TcpProbe,
    )

__version__ = "0.1.0.dev0"

__all__ = [
    "BlueGreen",
    "Bounds",
    "BuildError",
    "CannotUnpickle",
    "ConfigurationError",
    "Conflict",
    "DeadlineExceeded",
    "Delay",
    "Endpoint",
    "ExecProbe",
    "Fixed",
    "FlashcoreError",
    "HashRouting",
    "Heartbeat",
    "HttpProbe",
    "IllegalMove",
    "IncompatiblePeer",
    "InvalidDeclaration",
    "InvalidName",
    "InvalidOptions",
    "JobHandle",
    "JobStatus",
    "LoadBalancedEndpoint",
    "Manual",
    "NotFound",
    "PartRef",
    "PluginError",
    "ProbePolicy",
    "ProtocolError",
    "PythonMismatch",
    "QueueDelay",
    "QueueEndpoint",
    "Recreate",
    "Refused",
    "RemoteClass",
    "RemoteError",
    "RemoteFunction",
    "RequestCount",
    "Rolling",
    "ScriptEndpoint",
    "SignatureRefused",
    "StateCorrupt",
    "StateError",
    "StateTooNew",
    "StickyRouting",
    "StorageFull",
    "StreamFull",
    "TcpProbe",
    "Unauthorized",
    "Unavailable",
    "UnknownPart",
    "Unserializable",
    "UsageError",
    "Volume",
    "__version__",
    "remote",
]

# This package is the parent of everything, of `flashcore --help` too: a name's module is imported when it is asked for.
_HOMES = {
    "flashcore.client.endpoints": ("Endpoint", "LoadBalancedEndpoint", "QueueEndpoint", "ScriptEndpoint"),
    "flashcore.client.handle": ("JobHandle",),
    "flashcore.client.functions": ("RemoteClass", "RemoteFunction"),
    "flashcore.client.remote": ("remote",),
    "flashcore.model.declaration": ("Bounds", "ProbePolicy", "Volume"),
    "flashcore.model.job": ("JobStatus",),
    "flashcore.model.parts": (
        "BlueGreen",
        "Delay",
        "ExecProbe",
        "Fixed",
        "HashRouting",
        "Heartbeat",
        "HttpProbe",
        "Manual",
        "PartRef",
        "QueueDelay",
        "Recreate",
        "RequestCount",
        "Rolling",
        "StickyRouting",
        "TcpProbe",
    ),
}


def __getattr__(name: str) -> object:
    """Import the home of a public name; whatever has no other home is an error of `model.errors`."""
    if name not in __all__:
        raise AttributeError(f"module 'flashcore' has no attribute {name!r}")
    from importlib import import_module

    home = next((home for home, names in _HOMES.items() if name in names), "flashcore.model.errors")
    value: object = getattr(import_module(home), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
