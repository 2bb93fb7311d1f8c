"""The control API."""

from __future__ import annotations

from collections.abc import Callable

from fastapi import FastAPI

import flashcore
from flashcore.composition import Platform
from flashcore.server.bell import Bell
from flashcore.server.errors import add_error_answers
from flashcore.server.gateways import GatewayKeeper
from flashcore.server.guard import Guard
from flashcore.server.metrics import metric_routes
from flashcore.server.mothership import Mothership
from flashcore.server.routes.artifacts import artifact_routes
from flashcore.server.routes.dashboard import dashboard_routes
from flashcore.server.routes.deployments import deployment_routes
from flashcore.server.routes.events import event_routes
from flashcore.server.routes.gateway import gateway_routes
from flashcore.server.routes.manifest import manifest_routes
from flashcore.server.routes.process import process_routes
from flashcore.server.routes.readings import reading_routes
from flashcore.server.routes.rollouts import rollout_routes
from flashcore.server.routes.tokens import token_routes
from flashcore.server.shutdown import Shutdown


def create_app(
    platform: Platform,
    keeper: GatewayKeeper,
    bell: Bell,
    token: str,
    stop: Callable[[Shutdown], None],
    mothership: Mothership,
) -> FastAPI:
    """The ASGI app over a platform; `bell` rings after each commit, `stop` ends the process in the given way."""
    app = FastAPI(title="flashcore control API", version=flashcore.__version__, docs_url=None, redoc_url=None)
    add_error_answers(app)
    app.include_router(dashboard_routes())
    app.include_router(process_routes(platform, keeper, stop))
    app.include_router(deployment_routes(platform, keeper))
    app.include_router(reading_routes(platform.controller))
    app.include_router(rollout_routes(platform.controller))
    app.include_router(manifest_routes(platform, mothership))
    app.include_router(event_routes(platform.ledger.journal, bell))
    app.include_router(artifact_routes(platform.artifacts, platform.project.layout.uploads))
    app.include_router(gateway_routes(keeper))
    app.include_router(token_routes(platform.tokens))
    app.include_router(metric_routes(platform.controller.views, platform.transitions, platform.ledger.now))
    settings = platform.project.settings
    hosts = frozenset(filter(None, (settings.host, settings.api.host)))
    app.add_middleware(Guard, token=token, tokens=platform.tokens, hosts=hosts)
    return app
