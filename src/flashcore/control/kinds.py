"""The kinds of records that the controller keeps."""

from __future__ import annotations

from flashcore.control.store import Kind
from flashcore.model.deployment import Deployment
from flashcore.model.replica import Replica
from flashcore.model.revision import Revision
from flashcore.model.token import Token

DEPLOYMENTS: Kind[Deployment] = Kind("deployments", Deployment, lambda deployment: deployment.endpoint)
REVISIONS: Kind[Revision] = Kind("revisions", Revision, lambda revision: revision.id)
REPLICAS: Kind[Replica] = Kind("replicas", Replica, lambda replica: replica.id)
TOKENS: Kind[Token] = Kind("tokens", Token, lambda token: token.id)

KINDS = (DEPLOYMENTS, REVISIONS, REPLICAS, TOKENS)
