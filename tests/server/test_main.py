"""How a control plane takes down what it runs."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from flashcore.composition import Platform
from flashcore.model.errors import DeadlineExceeded
from flashcore.server.gateways import GatewayKeeper
from flashcore.server.main import accident, take_down
from flashcore.server.shutdown import Shutdown
from flashcore.settings import open_project


class Stubborn:
    """A controller with a replica that does not end."""

    closed = False

    async def stop_replicas(self) -> None:
        """Wait in vain."""
        raise DeadlineExceeded("still running after 25 s: hello-1")

    async def close(self) -> None:
        """Remember it."""
        self.closed = True


class Keeper(GatewayKeeper):
    """Keeps no gateway."""

    stopped = False

    async def stop(self, grace: float) -> None:
        """Remember it."""
        self.stopped = True


async def test_a_replica_that_does_not_end_keeps_nothing_else(tmp_path: Path) -> None:
    """The gateway ends all the same, and the state is closed; what went wrong is raised."""
    (tmp_path / "flashcore.toml").write_text("app = 'a'\n", encoding="utf-8")
    project, controller = open_project(tmp_path), Stubborn()
    keeper = Keeper(project)
    platform: Any = SimpleNamespace(controller=controller, project=project)

    with pytest.raises(DeadlineExceeded, match="hello-1"):
        await take_down(cast(Platform, platform), keeper, Shutdown.EVERYTHING)

    assert (controller.closed, keeper.stopped) == (True, True)


@pytest.mark.parametrize(
    "shortage", [RuntimeError("can't start new thread"), BlockingIOError(11, "again"), MemoryError()]
)
def test_a_start_that_the_system_gives_no_means_names_the_limits(shortage: Exception, tmp_path: Path) -> None:
    """It said that its log has the traceback: there is no mistake in it to be found."""
    error = accident(shortage, tmp_path)

    assert "the system gives it no more" in error.message
    assert "ulimit -u" in (error.next_step or "")
