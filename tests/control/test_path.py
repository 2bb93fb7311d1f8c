"""The whole path on a simulated provider: deployed, updated, taken down."""

import asyncio

from flashcore.testing.simulation import SCOPE, World, simulate


def test_an_endpoint_is_deployed_updated_and_taken_down() -> None:
    """Three replicas of version 1 become three of version 2, and in the end nothing is left anywhere."""

    async def scenario(world: World) -> None:
        await world.deploy("hello", 1, replicas=3)
        first = await world.ready("hello")
        assert first.ready == 3

        await world.deploy("hello", 2, replicas=3)
        second = await world.ready("hello")
        assert second.stable != first.stable
        assert world.dataplane.route("hello") is not None

        await world.controller.undeploy("hello")
        await world.controller.wait_gone("hello", 60)
        assert world.provider.states() == {}
        assert world.controller.endpoints() == ()
        await asyncio.sleep(1)
        assert world.dataplane.table.endpoints == ()
        assert (await world.backend.read(f"{SCOPE.prefix}records/")).entries == ()

    world = simulate(scenario)

    assert world.kinds("deployment.status")
    assert [event.data["status"] for event in world.events if event.kind == "deployment.status"] == [
        "ready",
        "deploying",
        "ready",
        "destroying",
        "destroyed",
    ]
