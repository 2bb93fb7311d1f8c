"""From a scenario's TOML file to its value. What is wrong is said with the file, the key and what may stand there."""

from __future__ import annotations

import dataclasses
import tomllib
from collections.abc import Callable, Mapping
from enum import Enum
from itertools import pairwise
from pathlib import Path
from typing import Any, TypeVar, get_args, get_type_hints

from flashcore.control.parts import Parts
from flashcore.model.codec import CodecError, from_json
from flashcore.model.declaration import Declaration, Policy, problems
from flashcore.model.deployment import DeploymentStatus, RolloutState
from flashcore.model.errors import ConfigurationError, FlashcoreError, NotFound
from flashcore.model.names import endpoint_name
from flashcore.model.parts import PartRef
from flashcore.testing.scenario.chance import Chance, read_chance
from flashcore.testing.scenario.values import WORLDLY, Action, Endpoint, Expect, Load, Scenario, Version, What

T = TypeVar("T")
Table = Mapping[str, Any]

PARTITIONS = ("prober", "gateway", "provider")
SETTLED = "settled"
_STATUSES = tuple(status.value for status in DeploymentStatus)
_OUTCOMES = tuple(state.value for state in RolloutState if state.finished)
_NEEDS: Mapping[What, tuple[str, ...]] = {
    What.DEPLOY: ("endpoint", "version"),
    What.SCALE: ("endpoint", "replicas"),
    What.CLOCK_JUMP: ("seconds",),
    What.PARTITION: ("what", "seconds"),
    What.PLACES: ("places",),
    What.KILL_CONTROLLER: (),
}
"""Keys that an action must have; every other one needs an endpoint."""
_TOP = ("name", "seed", "duration", "timeout", "rest", "gateways", "provider", "endpoints", "load", "actions", "expect")
_OWN = ("resource", "max_concurrency", "versions")
_POLICY = tuple(field.name for field in dataclasses.fields(Policy) if field.name not in ("extra", "probe"))


def read_scenario(path: Path) -> Scenario:
    """The scenario of a file. Raises NotFound, or ConfigurationError naming file, key and allowed values."""
    try:
        return scenario_from(tomllib.loads(path.read_text(encoding="utf-8")), path.stem)
    except FileNotFoundError:
        raise NotFound(f"there is no scenario {path}", next_step="give the path of a TOML file") from None
    except UnicodeDecodeError as problem:
        raise _unreadable(path, "", f"it is not UTF-8: {problem.reason}") from None
    except OSError as problem:
        raise _unreadable(path, "", str(problem.strerror)) from None
    except tomllib.TOMLDecodeError as problem:
        raise _unreadable(path, "", str(problem)) from None
    except CodecError as problem:
        raise _unreadable(path, problem.path, problem.problem) from None


def scenario_from(table: Table, name: str = "scenario") -> Scenario:
    """The scenario of what a TOML file holds. Raises CodecError with the key."""
    _require_known(table, _TOP, "")
    provider = _table(table.get("provider", {}), "provider")
    _require_known(provider, ("places", "hard_quota"), "provider")
    endpoints = tuple(
        _endpoint(name, _table(one, f"endpoints.{name}"), f"endpoints.{name}")
        for name, one in _table(table.get("endpoints", {}), "endpoints").items()
    )
    if not endpoints:
        raise CodecError("endpoints", "there must be one at least, as in [endpoints.web]")
    whole = Scenario(
        **_plain(Scenario, {"name": name, **{k: v for k, v in table.items() if k in _PLAIN_TOP}}, ""),
        **_plain(Scenario, provider, "provider"),
        endpoints=endpoints,
        actions=_each(table, "actions", _action),
        loads=_each(table, "load", _load),
        expects=_each(table, "expect", _expect),
    )
    return _complete(whole)


def require_parts(scenario: Scenario, parts: Parts, path: Path) -> None:
    """Make every part that the scenario names. Raises ConfigurationError naming file and key of what cannot be."""
    for endpoint in scenario.endpoints:
        policy, where = endpoint.policy, f"endpoints.{endpoint.name}"
        named: list[tuple[str, Callable[[PartRef], object], PartRef]] = [
            (f"{where}.strategy", parts.strategies.make, policy.strategy)
        ]
        if policy.scaler is not None:
            named.append((f"{where}.scaler", parts.scalers.make, policy.scaler))
        for checkpoint, refs in policy.gates.items():
            named += [(f"{where}.gates.{checkpoint}", parts.gates.make, ref) for ref in refs]
        for key, make, ref in named:
            _require_made(key, make, ref, path)
        if endpoint.resource != "load_balanced":
            _require_made(f"{where}.resource", parts.resource_types.make, PartRef(endpoint.resource), path)


def _require_made(key: str, make: Callable[[PartRef], object], ref: PartRef, path: Path) -> None:
    try:
        make(ref)
    except FlashcoreError as error:
        raise ConfigurationError(f"{path}: {key}: {error.message}", next_step=error.next_step, key=key) from error


def part_ref(value: object, path: str) -> PartRef:
    """A part by its name, or as a table with `name` and its options. Raises CodecError."""
    if isinstance(value, str):
        return PartRef(value)
    if isinstance(value, dict) and isinstance(value.get("name"), str):
        return PartRef(value["name"], options={key: one for key, one in value.items() if key != "name"})
    raise CodecError(path, f'must be a name, or a table with a name and options, as in {{name = "x"}}, not {value!r}')


def policy_from(table: Table, path: str) -> Policy:
    """A policy of the keys that a declaration knows. Raises CodecError."""
    _require_known(table, _POLICY, path)
    plain: dict[str, Any] = {}
    for key, value in table.items():
        where = f"{path}.{key}"
        if key == "replicas":
            plain[key] = _bounds(value, where)
        elif key in ("strategy", "scaler", "routing"):
            plain[key] = _as_json(part_ref(value, where))
        elif key == "gates":
            plain[key] = {name: _gates(refs, f"{where}.{name}") for name, refs in _table(value, where).items()}
        elif key == "health":
            plain[key] = dict(_table(value, where))
        else:
            plain[key] = value
    return from_json(Policy, plain, path)


def _endpoint(name: str, table: Table, path: str) -> Endpoint:
    try:
        endpoint_name(name)
    except FlashcoreError as error:
        raise CodecError(path, error.message) from None
    _require_known(table, (*_OWN, *_POLICY), path)
    policy = policy_from({key: value for key, value in table.items() if key not in _OWN}, path)
    own = _plain(Endpoint, {key: table[key] for key in ("resource", "max_concurrency") if key in table}, path)
    for problem in problems(Declaration(name, "", policy=policy)):
        raise CodecError(path, problem)
    if own.get("max_concurrency", 1) < 1:
        raise CodecError(f"{path}.max_concurrency", "must be at least 1")
    versions = {
        _number(number, f"{path}.versions"): _version(
            _table(one, f"{path}.versions.{number}"), f"{path}.versions.{number}"
        )
        for number, one in _table(table.get("versions", {}), f"{path}.versions").items()
    }
    return Endpoint(name, policy, versions=versions, **own)


def _version(table: Table, path: str) -> Version:
    fields = {field.name: field for field in dataclasses.fields(Version)}
    _require_known(table, fields, path)
    hints = get_type_hints(Version)
    read: dict[str, Any] = {
        key: read_chance(value, f"{path}.{key}")
        if hints[key] is Chance
        else from_json(hints[key], value, f"{path}.{key}")
        for key, value in table.items()
    }
    for share in ("fails", "errors"):
        if not 0 <= read.get(share, 0.0) <= 1:
            raise CodecError(f"{path}.{share}", f"must be a share from 0 to 1, not {read[share]}")
    if read.get("latency", 1.0) <= 0:
        raise CodecError(f"{path}.latency", "must be greater than 0")
    return Version(**read)


def _load(table: Table, path: str) -> Load:
    _require_known(table, ("endpoint", "points", "rate", "preview"), path)
    if ("rate" in table) == ("points" in table):
        raise CodecError(path, "needs either rate = R, or points = [[seconds, requests a second], ...]")
    points = [[0.0, table["rate"]]] if "rate" in table else table["points"]
    read = from_json(tuple[tuple[float, float], ...], points, f"{path}.points")
    if not read or any(later[0] <= sooner[0] for sooner, later in pairwise(read)):
        raise CodecError(f"{path}.points", "must be there, at times that grow")
    if any(rate < 0 for _, rate in read):
        raise CodecError(f"{path}.points", "no rate may be below 0")
    return Load(str(table.get("endpoint", "")), read, from_json(float, table.get("preview", 0.0), f"{path}.preview"))


def _action(table: Table, path: str) -> Action:
    known = tuple(field.name for field in dataclasses.fields(Action))
    _require_known(table, known, path)
    if "do" not in table:
        raise CodecError(f"{path}.do", f"must be one of {_listed(_values(What))}")
    read = _plain(Action, {key: value for key, value in table.items() if key != "policy"}, path)
    for key in _NEEDS.get(read["do"], ("endpoint",)):
        if key not in table and key != "endpoint":
            raise CodecError(f"{path}.{key}", f"is missing: {read['do'].value} needs it")
    _require_one_of(read.get("when", ""), ("", SETTLED, *_STATUSES), f"{path}.when")
    if read["do"] is What.PARTITION:
        _require_one_of(read["what"], PARTITIONS, f"{path}.what")
    changed = _table(table.get("policy", {}), f"{path}.policy")
    policy_from(changed, f"{path}.policy")
    return Action(**read, policy=changed)


def _expect(table: Table, path: str) -> Expect:
    _require_known(table, tuple(field.name for field in dataclasses.fields(Expect)), path)
    read = _plain(Expect, {"endpoint": "", **table}, path)
    _require_one_of(read.get("status"), (None, *_STATUSES), f"{path}.status")
    _require_one_of(read.get("outcome"), (None, *_OUTCOMES), f"{path}.outcome")
    return Expect(**read)


def _complete(scenario: Scenario) -> Scenario:
    """Where there is one endpoint it need not be named; the order of actions is that of their times."""
    actions = tuple(_aimed(one, scenario, f"actions[{i}].endpoint") for i, one in enumerate(scenario.actions))
    loads = tuple(
        dataclasses.replace(one, endpoint=_named(one.endpoint, scenario, f"load[{i}].endpoint"))
        for i, one in enumerate(scenario.loads)
    )
    expects = tuple(
        dataclasses.replace(one, endpoint=_named(one.endpoint, scenario, f"expect[{i}].endpoint"))
        for i, one in enumerate(scenario.expects)
    )
    if not any(action.do is What.DEPLOY for action in actions):
        raise CodecError("actions", 'nothing is ever deployed: add do = "deploy", version = 1')
    if scenario.gateways < 1:
        raise CodecError("gateways", "there must be one at least")
    in_order = tuple(sorted(actions, key=lambda action: action.at))
    return dataclasses.replace(scenario, actions=in_order, loads=loads, expects=expects)


def _aimed(action: Action, scenario: Scenario, path: str) -> Action:
    if action.do in WORLDLY and not action.endpoint and not action.when:
        return action
    return dataclasses.replace(action, endpoint=_named(action.endpoint, scenario, path))


def _named(endpoint: str, scenario: Scenario, path: str) -> str:
    names = [one.name for one in scenario.endpoints]
    if not endpoint and len(names) == 1:
        return names[0]
    _require_one_of(endpoint, tuple(names), path)
    return endpoint


_PLAIN_TOP = ("name", "seed", "duration", "timeout", "rest", "gateways")


def _plain(cls: type, table: Table, path: str) -> dict[str, Any]:
    """The fields of a class whose values are in the table, each by its type."""
    hints = get_type_hints(cls)
    return {key: _value(hints[key], value, f"{path}.{key}".lstrip(".")) for key, value in table.items()}


def _value(hint: Any, value: object, path: str) -> Any:
    if isinstance(hint, type) and issubclass(hint, Enum):
        _require_one_of(value, _values(hint), path)
    read = from_json(hint, value, path)
    numbers = float in (hint, *get_args(hint)) or int in (hint, *get_args(hint))
    if numbers and isinstance(read, int | float) and read < 0 and not path.endswith((".seconds", "seed")):
        raise CodecError(path, f"must be at least 0, not {read}")
    return read


def _each(table: Table, key: str, read: Callable[[Table, str], T]) -> tuple[T, ...]:
    found = table.get(key, [])
    if not isinstance(found, list):
        raise CodecError(key, f"must be a list of tables, each beginning with [[{key}]]")
    return tuple(read(_table(one, f"{key}[{i}]"), f"{key}[{i}]") for i, one in enumerate(found))


def _table(value: object, path: str) -> Table:
    if not isinstance(value, dict):
        raise CodecError(path, f"must be a table, not {value!r}")
    return value


def _bounds(value: object, path: str) -> Table:
    if isinstance(value, int) and not isinstance(value, bool):
        return {"minimum": value, "maximum": value}
    if isinstance(value, list) and len(value) == 2:  # least and most
        return {"minimum": value[0], "maximum": value[1]}
    raise CodecError(path, f"must be a number, or [least, most], not {value!r}")


def _gates(value: object, path: str) -> list[Table]:
    if not isinstance(value, list):
        raise CodecError(path, f"must be a list of gates, not {value!r}")
    return [_as_json(part_ref(one, f"{path}[{i}]")) for i, one in enumerate(value)]


def _as_json(ref: PartRef) -> Table:
    return {"name": ref.name, "args": list(ref.args), "options": dict(ref.options)}


def _number(text: str, path: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise CodecError(path, f"a version is a number from 1 on, not {text!r}")
    return int(text)


def _require_known(table: Table, known: object, path: str) -> None:
    names = tuple(known)  # type: ignore[arg-type,var-annotated]  # names in whatever holds them
    for key in table:
        if key not in names:
            raise CodecError(f"{path}.{key}".lstrip("."), f"is no key here; there are: {_listed(names)}")


def _require_one_of(value: object, allowed: tuple[object, ...], path: str) -> None:
    if value not in allowed:
        raise CodecError(path, f"must be one of {_listed([str(one) for one in allowed if one])}, not {value!r}")


def _values(cls: type[Enum]) -> tuple[str, ...]:
    return tuple(str(member.value) for member in cls)


def _listed(names: object) -> str:
    return ", ".join(names)  # type: ignore[arg-type]  # names in whatever holds them


def _unreadable(path: Path, key: str, problem: str) -> ConfigurationError:
    where = f"{path}: {key}" if key else str(path)
    return ConfigurationError(
        f"{where}: {problem}", next_step="docs/simulating.md has an example with every key", file=str(path), key=key
    )
