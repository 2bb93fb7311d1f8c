"""The parts that come with flashcore, offered as any plugin offers its own: names, and where each is."""

from __future__ import annotations

from collections.abc import Mapping

from flashcore.plugin import Part, hookimpl

_PARTS = "flashcore.model.parts"
_HERE = "flashcore.builtin"


@hookimpl
def flashcore_resource_types() -> Mapping[str, Part]:
    """Endpoints fed from a queue, by functions or by a script, and endpoints that answer HTTP."""
    return {
        "queue": Part(
            f"{_HERE}.queue_resource:QueueResource",
            "Jobs from a queue",
            declares=("flashcore:QueueEndpoint",),
        ),
        "load_balanced": Part(
            f"{_HERE}.load_balanced_resource:LoadBalancedResource",
            "HTTP requests, load-balanced",
            declares=("flashcore:LoadBalancedEndpoint",),
        ),
        "worker_script": Part(
            f"{_HERE}.script_resource:ScriptResource",
            "Jobs from a queue, for a worker script of RunPod's package",
            declares=("flashcore:ScriptEndpoint",),
        ),
    }


@hookimpl
def flashcore_strategies() -> Mapping[str, Part]:
    """Ways from one revision to the next."""
    return {
        "rolling": Part(
            f"{_HERE}.rolling:RollingStrategy",
            "Replace replicas a few at a time",
            options=f"{_PARTS}:Rolling",
            declares=("flashcore:Rolling",),
        ),
        "blue_green": Part(
            f"{_HERE}.blue_green:BlueGreenStrategy",
            "Start all of the new revision, then move the traffic in one step",
            options=f"{_PARTS}:BlueGreen",
            declares=("flashcore:BlueGreen",),
        ),
        "recreate": Part(
            f"{_HERE}.recreate:RecreateStrategy",
            "Stop the old revision, then start the new one",
            options=f"{_PARTS}:Recreate",
            declares=("flashcore:Recreate",),
        ),
    }


@hookimpl
def flashcore_gates() -> Mapping[str, Part]:
    """What a rollout may wait for."""
    return {
        "manual": Part(
            f"{_HERE}.manual:ManualGate",
            "Pass when a person promotes",
            options=f"{_PARTS}:Manual",
            declares=("flashcore:Manual",),
        ),
        "delay": Part(
            f"{_HERE}.delay:DelayGate",
            "Pass after some seconds",
            options=f"{_PARTS}:Delay",
            declares=("flashcore:Delay",),
        ),
    }


@hookimpl
def flashcore_probes() -> Mapping[str, Part]:
    """Ways to ask a replica whether it is well."""
    return {
        "http": Part(
            f"{_HERE}.http_probe:HttpProbing",
            "GET a path on the replica",
            options=f"{_PARTS}:HttpProbe",
            declares=("flashcore:HttpProbe",),
        ),
        "tcp": Part(
            f"{_HERE}.tcp_probe:TcpProbing",
            "Connect to the replica's address",
            options=f"{_PARTS}:TcpProbe",
            declares=("flashcore:TcpProbe",),
        ),
        "exec": Part(
            f"{_HERE}.exec_probe:ExecProbing",
            "Run a command beside the replica",
            options=f"{_PARTS}:ExecProbe",
            declares=("flashcore:ExecProbe",),
            capabilities=("exec",),
        ),
        "heartbeat": Part(
            f"{_HERE}.heartbeat_probe:HeartbeatProbing",
            "Trust the replica's own connection",
            options=f"{_PARTS}:Heartbeat",
            declares=("flashcore:Heartbeat",),
        ),
    }


@hookimpl
def flashcore_handler_generators() -> Mapping[str, Part]:
    """What writes the files by which functions are served."""
    return {
        "queue": Part(f"{_HERE}.queue_handler:QueueHandlerGenerator", "Handlers that take jobs"),
        "load_balanced": Part(
            f"{_HERE}.load_balanced_handler:LoadBalancedHandlerGenerator", "Handlers that answer HTTP"
        ),
        "worker_script": Part(f"{_HERE}.script_handler:ScriptHandlerGenerator", "Handlers that run a script"),
    }


@hookimpl
def flashcore_state_backends() -> Mapping[str, Part]:
    """Stores for state and jobs, by URL scheme."""
    return {
        "memory": Part(f"{_HERE}.memory_state:MemoryStores", "Nothing is kept", capabilities=("state", "jobs")),
        "sqlite": Part(f"{_HERE}.sqlite_state:SqliteStores", "A file on this machine", capabilities=("state", "jobs")),
    }


@hookimpl
def flashcore_providers() -> Mapping[str, Part]:
    """Where replicas run."""
    return {
        "process": Part(
            f"{_HERE}.process_provider:ProcessProvider",
            "Processes on this machine",
            options=f"{_HERE}.process.options:ProcessOptions",
            capabilities=("individual", "percent_traffic", "exec_probe"),
        )
    }


@hookimpl
def flashcore_artifact_stores() -> Mapping[str, Part]:
    """Where artifacts are kept, by URL scheme."""
    return {"file": Part(f"{_HERE}.file_artifacts:FileArtifactStore", "A directory on this machine")}


@hookimpl
def flashcore_routing_policies() -> Mapping[str, Part]:
    """Which replica gets a request."""
    return {
        "p2c": Part(f"{_HERE}.p2c:PowerOfTwoChoices", "Of two at random the one with less in flight"),
        "round_robin": Part(f"{_HERE}.round_robin:RoundRobin", "In turn, by weight"),
        "hash": Part(
            f"{_HERE}.hash_routing:HashPolicy",
            "The same key to the same replica, with bounded load",
            options=f"{_PARTS}:HashRouting",
            declares=("flashcore:HashRouting",),
        ),
        "sticky": Part(
            f"{_HERE}.sticky:StickyPolicy",
            "A caller stays on its replica",
            options=f"{_PARTS}:StickyRouting",
            declares=("flashcore:StickyRouting",),
        ),
    }


@hookimpl
def flashcore_scalers() -> Mapping[str, Part]:
    """How many replicas there should be."""
    return {
        "fixed": Part(
            f"{_HERE}.fixed_scaler:FixedScaler",
            "The minimum, or what a person set",
            options=f"{_PARTS}:Fixed",
            declares=("flashcore:Fixed",),
        ),
        "queue_delay": Part(
            f"{_HERE}.queue_delay:QueueDelayScaler",
            "So many that no job waits for long",
            options=f"{_PARTS}:QueueDelay",
            declares=("flashcore:QueueDelay",),
        ),
        "request_count": Part(
            f"{_HERE}.request_count:RequestCountScaler",
            "So many requests in flight for each replica",
            options=f"{_PARTS}:RequestCount",
            declares=("flashcore:RequestCount",),
        ),
    }


@hookimpl
def flashcore_serializers() -> Mapping[str, Part]:
    """How arguments and results travel."""
    return {
        "json": Part(f"{_HERE}.json_serializer:JsonSerializer", "JSON", capabilities=("untrusted",)),
        "cloudpickle": Part(f"{_HERE}.cloudpickle_serializer:CloudpickleSerializer", "Any Python object, signed"),
    }
