"""The control plane's numbers at /metrics, in Prometheus' text form: what there is, since when, and what happened.

The gateway has its own: both are to be scraped. Labels are endpoints and words of ours, never replicas.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from fastapi import APIRouter, Response

from flashcore.control.readmodel import DeploymentView
from flashcore.control.transitions import Transitions
from flashcore.model.deployment import DeploymentStatus
from flashcore.model.replica import Replica
from flashcore.wire.exposition import CONTENT_TYPE, Exposition, labels


def metric_routes(
    views: Callable[[], Iterable[DeploymentView]], transitions: Transitions, now: Callable[[], float]
) -> APIRouter:
    """The route /metrics."""
    routes = APIRouter(tags=["metrics"])

    @routes.get("/metrics")
    async def metrics() -> Response:
        """All numbers as they are now."""
        return Response(exposition(tuple(views()), transitions, now()), media_type=CONTENT_TYPE)

    return routes


def exposition(views: tuple[DeploymentView, ...], transitions: Transitions, now: float) -> bytes:
    """The page."""
    page = Exposition()
    _deployments(page, views, now)
    _replicas(page, views, now)
    page.counter(
        "flashcore_transitions_total",
        "What happened to deployments, rollouts and replicas, with the reason's code where it has one.",
        {
            labels(endpoint=endpoint, transition=kind, reason=reason): count
            for (endpoint, kind, reason), count in transitions.counts.items()
        },
    )
    return page.text()


def _deployments(page: Exposition, views: tuple[DeploymentView, ...], now: float) -> None:
    page.gauge(
        "flashcore_deployment_status",
        "1 for the status that a deployment has.",
        {
            labels(endpoint=view.endpoint, status=status.value): float(view.status is status)
            for view in views
            for status in DeploymentStatus
        },
    )
    page.gauge(
        "flashcore_deployment_status_seconds",
        "How long it has had it.",
        {labels(endpoint=view.endpoint): max(0.0, now - view.status_since) for view in views},
    )
    page.gauge(
        "flashcore_deployment_replicas_goal",
        "How many replicas there are to be.",
        {labels(endpoint=view.endpoint): view.goal for view in views},
    )
    page.gauge(
        "flashcore_deployment_replicas_ready",
        "How many can serve.",
        {labels(endpoint=view.endpoint): view.ready for view in views},
    )


def _replicas(page: Exposition, views: tuple[DeploymentView, ...], now: float) -> None:
    states = {
        (view.endpoint, role.role, *_state(replica)): [
            each for each in role.replicas if _state(each) == _state(replica)
        ]
        for view in views
        for role in view.sides
        for replica in role.replicas
    }
    page.gauge(
        "flashcore_replicas",
        "Replicas by the side that they belong to, their phase and their health.",
        {
            labels(endpoint=endpoint, side=side, phase=phase, health=health): len(found)
            for (endpoint, side, phase, health), found in states.items()
        },
    )
    page.gauge(
        "flashcore_replicas_oldest_in_state_seconds",
        "How long the one of them that has been longest in that phase and health has been so.",
        {
            labels(endpoint=endpoint, side=side, phase=phase, health=health): max(
                max(0.0, now - max(one.phase_since, one.health_since)) for one in found
            )
            for (endpoint, side, phase, health), found in states.items()
        },
    )


def _state(replica: Replica) -> tuple[str, str]:
    return replica.phase.value, replica.health.value
