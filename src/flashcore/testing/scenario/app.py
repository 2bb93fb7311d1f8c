"""The project that stands for a scenario's endpoints when it is run with real processes."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from flashcore.model.declaration import Policy, ProbePolicy
from flashcore.model.parts import BUILTIN_FORMS, PartRef
from flashcore.testing.scenario.chance import NEVER, Chance
from flashcore.testing.scenario.values import Endpoint, Scenario, Version

_HEAD = """\
import asyncio
import os
import random
import threading
import time

from flashcore import {names}

"""
_ENDPOINT = """
{name} = LoadBalancedEndpoint("{label}"{settings})


@{name}.get("/")
async def {name}_answer() -> str:
    await asyncio.sleep({latency!r})
    if random.random() < {errors!r}:
        raise RuntimeError("an error of the app")
    return "v{version}"

"""
_QUEUE = """
{name} = QueueEndpoint("{label}"{settings})


@{name}
async def {name}_answer() -> str:
    await asyncio.sleep({latency!r})
    return "v{version}"

"""
_START = """
if os.environ.get("FLASHCORE_ENDPOINT", "{label}") == "{label}":
    time.sleep({ready})
    if random.random() < {fails!r}:
        raise RuntimeError({reason!r})
    {crash}
"""
_SKIPPED = frozenset({"extra", "probe", "health", "strategy", "gates", "scaler", "routing", "replicas"})
_FORMS = {name: form.__name__ for form, name in BUILTIN_FORMS.items()}


def app_of(scenario: Scenario, versions: Mapping[str, int]) -> str:
    """The source of an app whose endpoints are of these versions."""
    forms = sorted({_FORMS[ref.name] for endpoint in scenario.endpoints for ref in _parts(endpoint)})
    parts = [_HEAD.format(names=", ".join(["LoadBalancedEndpoint", "QueueEndpoint", *forms]))]
    parts += [_endpoint(one, versions[one.name]) for one in scenario.endpoints if one.name in versions]
    return "".join(parts)


def _endpoint(endpoint: Endpoint, number: int) -> str:
    version = endpoint.versions.get(number, Version())
    shape = _ENDPOINT if endpoint.resource == "load_balanced" else _QUEUE
    declared = shape.format(
        name=endpoint.name.replace("-", "_"),
        label=endpoint.name,
        settings=_settings(endpoint),
        latency=version.latency,
        errors=version.errors,
        version=number,
    )
    crash = "pass"
    if version.crashes.first != NEVER:
        crash = f"threading.Timer({_drawn(version.crashes)}, os._exit, (1,)).start()"
    started = _START.format(
        label=endpoint.name, ready=_drawn(version.ready), fails=version.fails, reason=version.reason, crash=crash
    )
    return f"{declared}{started}"


def _settings(endpoint: Endpoint) -> str:
    policy, plain = endpoint.policy, Policy()
    bounds = policy.replicas
    settings: dict[str, Any] = {
        one.name: repr(getattr(policy, one.name))
        for one in dataclasses.fields(Policy)
        if one.name not in _SKIPPED and getattr(policy, one.name) != getattr(plain, one.name)
    }
    fixed = bounds.minimum == bounds.maximum
    settings["replicas"] = repr(bounds.minimum if fixed else (bounds.minimum, bounds.maximum))
    settings["strategy"] = _written(policy.strategy)
    settings["max_concurrency"] = repr(endpoint.max_concurrency)
    if policy.gates:
        gates = ", ".join(f"{name!r}: ({', '.join(map(_written, refs))},)" for name, refs in policy.gates.items())
        settings["gates"] = f"{{{gates}}}"
    if policy.health != ProbePolicy():
        settings["health"] = repr(dataclasses.asdict(policy.health))
    return "".join(f", {key}={value}" for key, value in settings.items())


def _parts(endpoint: Endpoint) -> list[PartRef]:
    return [endpoint.policy.strategy, *(ref for refs in endpoint.policy.gates.values() for ref in refs)]


def _drawn(chance: Chance) -> str:
    """A chance as an expression."""
    match chance.shape:
        case "uniform":
            return f"random.uniform({chance.first!r}, {chance.second!r})"
        case "normal":
            return f"max(0.0, random.gauss({chance.first!r}, {chance.second!r}))"
        case "exponential":
            return f"random.expovariate({1 / chance.first!r})"
        case _:
            return repr(chance.first if chance.first != NEVER else 3600.0)


def _written(ref: PartRef) -> str:
    """A built-in part as a declaration has it."""
    (form,) = (form for form, name in BUILTIN_FORMS.items() if name == ref.name)
    named = [one.name for one in dataclasses.fields(form)]
    options = {**dict(zip(named, ref.args, strict=False)), **ref.options}
    return f"{form.__name__}({', '.join(f'{key}={value!r}' for key, value in options.items())})"
