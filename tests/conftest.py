"""What every test relies on: settings of its own, cases that are the same each time, and no deadline to be missed."""

import os
import signal
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

_UNHURRIED = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
# The same cases each time: no change fails for what it did not do. `pytest --hypothesis-profile=search` tries others.
settings.register_profile("flashcore", _UNHURRIED, derandomize=True)
settings.register_profile("search", _UNHURRIED)
settings.load_profile("flashcore")


# A shell has what it starts in the background ignore the keyboard, and so would every process that a test starts.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(autouse=True)
def own_settings(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Empty folders for settings and caches, and no FLASHCORE_ variable of the caller's; returns their parent."""
    folder = tmp_path_factory.mktemp("settings")
    for name in [name for name in os.environ if name.startswith("FLASHCORE_")]:
        monkeypatch.delenv(name)
    for kind in ("CACHE", "CONFIG", "DATA", "STATE"):
        monkeypatch.setenv(f"XDG_{kind}_HOME", str(folder / kind.lower()))
    return folder


@pytest.fixture(scope="session")
def repository() -> Path:
    """The root of the checkout."""
    return Path(__file__).resolve().parent.parent
