"""The settings of one platform: flashcore.toml or [tool.flashcore], then FLASHCORE_* variables, then flags.

app = "shop"                      # default: the project's name, or its folder's
environment = "production"
provider = "process"
state = "sqlite:///elsewhere.db"  # default: in .flashcore/
host = "127.0.0.1"                # beyond loopback only with auth and tls, or exposed = true
trusted_proxies = ["10.0.0.5"]    # whose X-Forwarded-* headers are believed
auth = "auto"                     # "on": callers of the gateway need a token; "auto": only beyond loopback; "off"
[tls]
certificate = "cert.pem"          # paths from the project's folder
key = "key.pem"
[gateway]
hold_seconds = 30.0               # any number of gateway.settings
[ports]
gateway = 8700
api = 8701
[mothership]
manifest = "flashcore_manifest.json"  # keep the environment as this file says; path from the project's folder
deployed = true                   # it runs where its disk is not kept
[plugins]
disable = ["acme"]
[plugins.acme]                    # options of a plugin, by its own schema
[environments.staging]            # the same keys again, for one environment
"""

from __future__ import annotations

import dataclasses
import difflib
import math
import os
import re
import tomllib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from flashcore.model.codec import CodecError, from_json
from flashcore.model.errors import ConfigurationError, InvalidName
from flashcore.model.layout import Layout, find_project
from flashcore.model.names import Scope, scope_part

DEFAULT_ENVIRONMENT = "production"

_VARIABLES: Mapping[str, tuple[str, ...]] = {
    "FLASHCORE_APP": ("app",),
    "FLASHCORE_ENV": ("environment",),
    "FLASHCORE_PROVIDER": ("provider",),
    "FLASHCORE_STATE": ("state",),
    "FLASHCORE_JOBS": ("jobs",),
    "FLASHCORE_ARTIFACTS": ("artifacts",),
    "FLASHCORE_HOST": ("host",),
    "FLASHCORE_AUTH": ("auth",),
    "FLASHCORE_GATEWAY_PORT": ("ports", "gateway"),
    "FLASHCORE_API_PORT": ("ports", "api"),
    "FLASHCORE_API_URL": ("api", "url"),
    "FLASHCORE_API_CA": ("api", "ca"),
}
"""Which setting a variable holds; the loader of plugins reads its own variables, before anything else."""

_FLAGS = {"environment": "--env"}
"""What flags are called that set a setting of another name."""


@dataclass(frozen=True, slots=True)
class Ports:
    """Where the platform listens; the next free port is taken when one is in use, 0 takes any."""

    gateway: int = 8700
    api: int = 8701


@dataclass(frozen=True, slots=True)
class Tls:
    """What is spoken TLS with beyond this machine: paths from the project's folder, both empty for plain HTTP."""

    certificate: str = ""
    key: str = ""


@dataclass(frozen=True, slots=True)
class ApiSettings:
    """The control API: where it listens, and where commands call it that is not this machine's."""

    host: str = ""
    """Where it listens beside the loopback interface, with the certificate of `tls`; empty for nowhere."""
    url: str = ""
    """The control API that commands call, as in `https://flash.example.com:8701`; empty for this machine's own. They
    show the token in FLASHCORE_TOKEN."""
    ca: str = ""
    """Who signed the certificate behind `url`: certificates in PEM, as a path from the project's folder. Empty: whom
    this machine trusts."""
    plain: bool = False
    """Commands may call `url` without TLS on another machine: who is on the way reads the token."""


@dataclass(frozen=True, slots=True)
class MothershipSettings:
    """A control plane that keeps its environment as a manifest says. No variable sets this: nobody inherits it."""

    manifest: str = ""
    """The manifest, as a path from the project's folder; empty for none."""
    deployed: bool = False
    """It runs where its disk is not kept, as in a container: its state has to be elsewhere."""
    instances: int = 1
    """How many of it may run at once; more than one is refused where it is deployed."""


@dataclass(frozen=True, slots=True)
class Settings:
    """Everything that is configured. URLs that are empty mean: in the project's local data."""

    app: str
    environment: str = DEFAULT_ENVIRONMENT
    provider: str = "process"
    state: str = ""
    jobs: str = ""
    artifacts: str = ""
    host: str = "127.0.0.1"
    auth: str = "auto"
    """Whether callers of the gateway need a token: `on`, `off`, or `auto`, where it listens beyond this machine."""
    exposed: bool = False
    """The gateway may listen beyond this machine without tokens or TLS, because something in front of it has them."""
    trusted_proxies: tuple[str, ...] = ()
    """Addresses of proxies in front of the gateway: what they say in X-Forwarded-* of a request is believed."""
    tls: Tls = Tls()
    gateway: Mapping[str, float] = field(default_factory=dict)
    """Numbers of the gateway, as `flashcore.gateway.settings` lists them."""
    ports: Ports = Ports()
    api: ApiSettings = ApiSettings()
    mothership: MothershipSettings = MothershipSettings()
    scan: str = "read"
    """How the build learns of endpoints: "read" runs no code of the project; "import" may import files whose
    declarations cannot be read."""
    plugins: Mapping[str, Any] = field(default_factory=dict)
    """`disable` and `allow` are lists of plugin names; every other key is a plugin's table of options."""
    gateway_grace: float = 10.0
    """Seconds that a stopping gateway has for what is in flight."""

    @property
    def scope(self) -> Scope:
        """The app and environment that everything is stored under."""
        return Scope(self.app, self.environment)


@dataclass(frozen=True, slots=True)
class Project:
    """A project's folder with its settings for one environment."""

    root: Path
    settings: Settings

    @property
    def layout(self) -> Layout:
        """Where the environment's local data lies."""
        return Layout(self.root, self.settings.environment)

    @property
    def state_url(self) -> str:
        """Where the control plane's state is."""
        return self.settings.state or f"sqlite:///{self.layout.state_db}"

    @property
    def jobs_url(self) -> str:
        """Where jobs are kept."""
        return self.settings.jobs or f"sqlite:///{self.layout.jobs_db}"

    @property
    def artifacts_url(self) -> str:
        """Where artifacts are kept."""
        return self.settings.artifacts or f"file://{self.layout.artifacts}"


def open_project(
    start: Path, environ: Mapping[str, str] = os.environ, flags: Mapping[str, Any] | None = None
) -> Project:
    """The project around `start` with its settings. Raises ConfigurationError when there is none or they do not fit."""
    root = find_project(start.absolute())
    if root is None:
        raise ConfigurationError(
            f"there is no flashcore project in {start} or above it",
            next_step="go to one, make this folder one by a flashcore.toml, or a new one by `flashcore init`",
        )
    return Project(root, read_settings(root, environ, flags or {}))


def read_settings(root: Path, environ: Mapping[str, str], flags: Mapping[str, Any]) -> Settings:
    """The settings of the project at `root`; `flags` (setting name -> value, None: not given) win over variables."""
    table, source = _read_file(root)
    overrides = _from_variables(environ)
    _merge(overrides, {name: value for name, value in flags.items() if value is not None})
    per_environment = table.pop("environments", {})
    environment = overrides.get("environment") or table.get("environment") or DEFAULT_ENVIRONMENT
    if not isinstance(per_environment, dict):
        raise ConfigurationError(f"{source}: environments must be a table, one key per environment")
    _merge(table, per_environment.get(environment, {}))
    _merge(table, overrides)
    table.setdefault("app", _default_app(root))
    return _checked(table, lambda setting: _origin(setting, environ, flags) or source)


def _origin(setting: str, environ: Mapping[str, str], flags: Mapping[str, Any]) -> str | None:
    """The flag or the variable that a setting comes from; None for the file."""
    if flags.get(setting) is not None:
        return _FLAGS.get(setting, f"--{setting}")
    for variable, place in _VARIABLES.items():
        if environ.get(variable) and ".".join(place).startswith(setting):
            return variable
    return None


def _read_file(root: Path) -> tuple[dict[str, Any], str]:
    own = root / "flashcore.toml"
    if own.is_file():
        return _parse(own), str(own.name)
    shared = root / "pyproject.toml"
    if shared.is_file():
        table = _parse(shared).get("tool", {}).get("flashcore", {})
        return dict(table), f"{shared.name} [tool.flashcore]"
    return {}, "the defaults"


def _parse(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"{path} is not valid TOML: {error}", next_step="correct the file") from error


def _from_variables(environ: Mapping[str, str]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for variable, place in _VARIABLES.items():
        text = environ.get(variable)
        if text:
            value: Any = _port(variable, text) if place[0] == "ports" else text
            _merge(found, {place[0]: {place[1]: value}} if len(place) == 2 else {place[0]: value})
    return found


def _port(variable: str, text: str) -> int:
    if not text.isdigit() or int(text) > 65_535:
        raise ConfigurationError(
            f"{variable} must be a port number, not {text!r}", next_step="set it to 0 to 65535; 0 is any that is free"
        )
    return int(text)


def _merge(table: dict[str, Any], over: Mapping[str, Any]) -> None:
    for key, value in over.items():
        if isinstance(value, Mapping) and isinstance(table.get(key), dict):
            _merge(table[key], value)
        else:
            table[key] = dict(value) if isinstance(value, Mapping) else value


def _default_app(root: Path) -> str:
    pyproject = root / "pyproject.toml"
    name = _parse(pyproject).get("project", {}).get("name") if pyproject.is_file() else None
    label = re.sub(r"[^a-z0-9]+", "-", str(name or root.resolve().name).lower()).strip("-")[:40].strip("-")
    return label or "app"


def _checked(table: dict[str, Any], origin: Callable[[str], str]) -> Settings:
    known = [f.name for f in dataclasses.fields(Settings)]
    for key in table:
        if key not in known:
            raise ConfigurationError(
                f"{origin(key)}: there is no setting {key!r}", next_step=_meant(key, known), setting=key
            )
    try:
        settings = from_json(Settings, table)
    except CodecError as error:
        raise ConfigurationError(f"{origin(error.path)}: {error}", next_step="correct the setting") from error
    for name in ("app", "environment"):
        _require_label(getattr(settings, name), name, origin(name))
    if not 0 <= settings.gateway_grace < math.inf:
        raise ConfigurationError(
            f"{origin('gateway_grace')}: gateway_grace is a number of seconds from 0, not {settings.gateway_grace:g}",
            next_step="correct the setting",
        )
    _require_one_of("auth", settings.auth, ("auto", "on", "off"), origin)
    _require_one_of("scan", settings.scan, ("read", "import"), origin)
    for name in ("gateway", "api"):
        if not 0 <= getattr(settings.ports, name) <= 65_535:
            raise ConfigurationError(
                f"{origin(f'ports.{name}')}: ports.{name} must be a port number, not {getattr(settings.ports, name)}",
                next_step="set it to 0 to 65535; 0 is any that is free",
            )
    return settings


def _meant(key: str, known: Sequence[str]) -> str:
    """What to write in place of a setting that there is not: a table's that has the same words, else a near one."""
    for table, form in (("ports", Ports), ("tls", Tls), ("api", ApiSettings), ("mothership", MothershipSettings)):
        for name in (f.name for f in dataclasses.fields(form)):
            if _words(key) == _words(f"{table}_{name}"):
                return f"did you mean {table}.{name}? write {name} = ... under [{table}]"
    near = difflib.get_close_matches(key, known, n=1)
    return f"did you mean {near[0]!r}?" if near else f"known settings: {', '.join(known)}, environments"


def _words(name: str) -> list[str]:
    """In any order, and one of a thing as good as several."""
    return sorted(word.removesuffix("s") for word in re.split(r"[^a-z]+", name.lower()))


def _require_label(text: str, what: str, origin: str) -> None:
    try:
        scope_part(text, what)
    except InvalidName as error:
        raise ConfigurationError(f"{origin}: {error.message}", next_step=error.next_step) from error


def _require_one_of(setting: str, value: str, allowed: tuple[str, ...], origin: Callable[[str], str]) -> None:
    if value not in allowed:
        raise ConfigurationError(
            f"{origin(setting)}: {setting} is {value!r}",
            next_step=f"set it to one of: {', '.join(allowed)}",
            setting=setting,
        )
