"""What a replica printed outlives it: that is when it is asked for."""

import pytest

from flashcore.model.errors import NotFound
from flashcore.testing.scenes import first, started, watched
from flashcore.testing.simulated_provider import Life
from flashcore.testing.simulation import World

LOG = ("loading", "MemoryError")


def test_the_log_of_a_replica_that_ended_can_still_be_read() -> None:
    """It names its own endpoint; who asks under another's, or for nobody, hears which there are."""

    async def scenario(world: World) -> None:
        world.provider.script = lambda *_: Life(log_tail=LOG)
        await first(world, 1)
        await world.deploy("other", 1, replicas=1)
        died, *_ = started(world, world.view("hello").sides[0].revision)
        world.provider.kill(died)
        await world.until("hello", lambda view: died not in [one.id for one in view.sides[0].replicas])
        await world.ready("hello")

        assert await world.controller.logs_of_ended("hello", died, tail=100) == LOG
        assert await world.controller.logs_of_ended("hello", died, tail=1) == LOG[-1:]
        for endpoint, replica in (("other", died), ("hello", "hello-abcdef-1234"), ("hello", "../hello-1-2")):
            with pytest.raises(NotFound, match="no log of one that has ended") as refused:
                await world.controller.logs_of_ended(endpoint, replica, tail=1)
            assert "it has " in (refused.value.next_step or "")

    watched(scenario)


def test_the_logs_of_an_endpoint_that_was_undeployed_can_still_be_read() -> None:
    """All of its last replicas, oldest first, or one by its name; what never was is not found."""

    async def scenario(world: World) -> None:
        world.provider.script = lambda *_: Life(log_tail=LOG)
        await first(world, 2)
        replicas = started(world, world.view("hello").sides[0].revision)
        await world.controller.undeploy("hello")
        await world.controller.wait_gone("hello", 600.0)

        gone = await world.controller.logs_of_undeployed("hello", None, tail=1)
        assert sorted(gone) == sorted((replica, LOG[-1:]) for replica in replicas)
        assert await world.controller.logs_of_undeployed("hello", replicas[0], tail=9) == ((replicas[0], LOG),)
        for endpoint, replica in (("other", None), ("hell", replicas[0]), ("hello", "hello-abcdef-1234")):
            with pytest.raises(NotFound, match=f"there is no endpoint '{endpoint}'"):
                await world.controller.logs_of_undeployed(endpoint, replica, tail=1)

    watched(scenario)
