"""Operations over HTTP: the same as in Python, refused by status and code, described by OpenAPI."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import httpx2
from fastapi import FastAPI

from flashcore.model.deployment import DeploymentStatus
from flashcore.model.manifest import Manifest, manifest_to_json
from flashcore.model.parts import PartRef
from flashcore.server.errors import add_error_answers
from flashcore.server.routes.readings import reading_routes
from flashcore.server.routes.rollouts import rollout_routes
from flashcore.testing.scenes import first, live, update, watched
from flashcore.testing.simulation import World, entry

BY_HAND = PartRef("blue_green", options={"auto_promote": False, "keep_old": 60.0})


class Ask:
    """A caller of the routes."""

    def __init__(self, client: httpx2.AsyncClient) -> None:
        self._client = client

    async def __call__(self, path: str, body: Any = None) -> httpx2.Response:
        """POST, with a JSON body if there is one."""
        return await (self._client.post(path) if body is None else self._client.post(path, json=body))

    async def get(self, path: str) -> httpx2.Response:
        """GET."""
        return await self._client.get(path)


def app_over(world: World) -> FastAPI:
    """The routes over a simulated world's controller."""
    app = FastAPI()
    add_error_answers(app)
    app.include_router(reading_routes(world.controller))
    app.include_router(rollout_routes(world.controller))
    return app


def asked(scenario: Callable[[World, Ask], Awaitable[None]]) -> None:
    """Run a scenario that asks over HTTP, with the invariants watched."""

    async def run(world: World) -> None:
        transport = httpx2.ASGITransport(app_over(world))
        async with httpx2.AsyncClient(transport=transport, base_url="http://here/api/v1/deployments/") as client:
            await scenario(world, Ask(client))

    watched(run)


def test_a_rollout_is_promoted_undone_and_restarted() -> None:
    """Each answers with the endpoint as it is then."""

    async def scenario(world: World, ask: Ask) -> None:
        stable = await first(world, 2, strategy=BY_HAND)
        await update(world, 2, 2, strategy=BY_HAND)
        await world.until("hello", lambda view: view.status is DeploymentStatus.AWAITING_PROMOTION)
        promoted = await ask("hello/promote")
        assert (promoted.status_code, promoted.json()["generation"]) == (202, 2)
        await world.until("hello", lambda view: view.stable != stable)
        undone = await ask("hello/undo", {"revision": stable[:8]})
        assert undone.json()["generation"] == 3
        await world.until("hello", lambda view: view.stable == stable)
        await asyncio.sleep(1)
        assert (await ask("hello/restart")).status_code == 202
        assert not (await ask("hello/restart", {"at": None})).json()["settled"]
        await world.until("hello", lambda view: view.deployment.restart_at is None)
        assert world.kinds("restart") == ["restart.started", "restart.done"]

    asked(scenario)


def test_a_full_promotion_a_pause_an_abort_and_a_retry() -> None:
    """In one rollout after the other."""

    async def scenario(world: World, ask: Ask) -> None:
        await first(world, 2, strategy=BY_HAND)
        await update(world, 2, 2, strategy=BY_HAND)
        assert (await ask("hello/pause")).json()["status"] == "paused"
        assert (await ask("hello/resume")).json()["status"] != "paused"
        assert (await ask("hello/abort")).status_code == 202
        await world.ready("hello")
        retried = (await ask("hello/retry")).json()
        assert (retried["generation"], retried["rollout_state"]) == (3, "running")
        await ask("hello/promote", {"full": True})
        await world.until("hello", lambda view: view.settled)
        assert live(world)[2] == 2

    asked(scenario)


def test_traffic_is_held_and_replicas_are_cordoned() -> None:
    """And let go again."""

    async def scenario(world: World, ask: Ask) -> None:
        await first(world, 2)
        replica = world.provider.started[0]
        assert (await ask("hello/hold-traffic")).json()["reason_code"] == "held"
        assert (await ask("hello/release-traffic")).json()["reason_code"] == ""
        await ask(f"hello/replicas/{replica}/cordon")
        await asyncio.sleep(1)
        assert replica not in world.dataplane.serving("hello")
        await ask(f"hello/replicas/{replica}/uncordon")
        await asyncio.sleep(1)
        assert replica in world.dataplane.serving("hello")

    asked(scenario)


def test_what_cannot_be_done_is_refused_by_type() -> None:
    """Status 409 with a code for each kind, 404 for what is not there, 422 for what cannot be meant."""

    async def scenario(world: World, ask: Ask) -> None:
        await first(world, 1)
        refused = {
            "hello/promote": (409, "nothing_to_promote"),
            "hello/abort": (409, "no_rollout"),
            "hello/pause": (409, "no_rollout"),
            "hello/resume": (409, "no_rollout"),
            "hello/retry": (409, "nothing_to_retry"),
            "hello/undo": (409, "nothing_to_undo"),
            "hello/replicas/no/cordon": (404, "not_found"),
            "hallo/restart": (404, "not_found"),
        }
        for path, expected in refused.items():
            answer = await ask(path)
            assert (answer.status_code, answer.json()["error"]["code"]) == expected, path
            assert answer.json()["error"]["next_step"]
        assert (await ask("hello/promote", {"fully": True})).status_code == 422
        assert (await ask("hello/undo", {"revision": "0000"})).status_code == 404

    asked(scenario)


def test_history_and_why_tell_what_happened() -> None:
    """Revisions with the part that each plays; and each link of the chain is an event of the log."""

    async def scenario(world: World, ask: Ask) -> None:
        await first(world, 1, strategy=BY_HAND)
        await update(world, 2, 1, strategy=BY_HAND)
        await world.until("hello", lambda view: view.status is DeploymentStatus.AWAITING_PROMOTION)
        versions = (await ask.get("hello/history")).json()["revisions"]
        assert [(one["number"], one["roles"], one["outcome"]) for one in versions] == [
            (2, ["target"], "started"),
            (1, ["stable"], "done"),
        ]
        assert len((await ask.get("hello/history?limit=1")).json()["revisions"]) == 1
        told = (await ask.get("hello/why")).json()
        assert (told["reason_code"], told["waits"][0]["blocked_by"]) == ("gate", "gate 'manual'")
        kinds = [one["kind"] for one in told["events"]]
        assert kinds[0] == "rollout.started"
        assert told["events"][0]["data"]["by"] == "deploy"
        assert "rollout.waiting" in kinds
        known = {one.cursor for one in await world.controller.events(limit=1000)}
        assert {one["cursor"] for one in told["events"]} <= known
        assert (await ask("hallo/plan")).status_code in (404, 405)

    asked(scenario)


def test_a_revision_that_was_taken_back_stays_in_the_history() -> None:
    """Its record goes with the next deploy; the log knows its number and what became of it."""

    async def scenario(world: World, ask: Ask) -> None:
        await first(world, 1, strategy=BY_HAND)
        await update(world, 2, 1, strategy=BY_HAND)
        await world.until("hello", lambda view: view.status is DeploymentStatus.AWAITING_PROMOTION)
        await ask("hello/abort")
        await world.settled("hello")
        await update(world, 3, 1, strategy=BY_HAND)
        await world.until("hello", lambda view: view.status is DeploymentStatus.AWAITING_PROMOTION)
        await world.until("hello", lambda view: len(view.revisions) == 2)

        versions = (await ask.get("hello/history")).json()["revisions"]

        assert [(one["number"], one["roles"], one["outcome"]) for one in versions] == [
            (3, ["target"], "started"),
            (2, ["forgotten"], "aborted"),
            (1, ["stable"], "done"),
        ]

    asked(scenario)


def test_a_plan_needs_no_artifact_and_changes_nothing() -> None:
    """The steps as the strategy gives them."""

    async def scenario(world: World, ask: Ask) -> None:
        await first(world, 2)
        before = len(world.events)
        manifest = Manifest("simulated", (entry("hello", 2, replicas=2), entry("other", 1)), "0", "3.11")
        answer = (await ask("plan", {"manifest": manifest_to_json(manifest)})).json()
        assert [(one["endpoint"], one["change"]) for one in answer["endpoints"]] == [
            ("hello", "rolling out"),
            ("other", "new"),
        ]
        assert answer["endpoints"][0]["steps"][-1]["target"] == 2
        assert (len(world.events), world.controller.endpoints()) == (before, ("hello",))

    asked(scenario)


def test_every_operation_is_described() -> None:
    """By OpenAPI, with a summary for people."""

    async def scenario(world: World, ask: Ask) -> None:
        paths = app_over(world).openapi()["paths"]
        for operation in ("promote", "abort", "retry", "pause", "resume", "undo", "restart", "hold-traffic"):
            assert paths[f"/api/v1/deployments/{{endpoint}}/{operation}"]["post"]["description"]

    asked(scenario)
