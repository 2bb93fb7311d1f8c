"""The names under which a test runs a manifest: nothing of the test can be taken for the real thing."""

from __future__ import annotations

import dataclasses

from flashcore.canonical import digest
from flashcore.model.declaration import Template
from flashcore.model.manifest import EndpointEntry, Manifest
from flashcore.model.names import EndpointName, endpoint_name

PREFIX_VARIABLE = "FLASHCORE_NAME_PREFIX"
"""Tells the client in a replica what to put before the names of endpoints: a test calls itself, never the real ones."""


def renamed(manifest: Manifest, prefix: str) -> Manifest:
    """The same endpoints, each with the prefix before its name. Raises InvalidName for a name that gets too long."""
    return dataclasses.replace(manifest, endpoints=tuple(_entry(entry, prefix) for entry in manifest.endpoints))


def _entry(entry: EndpointEntry, prefix: str) -> EndpointEntry:
    template = _template(entry.template, prefix)
    functions = tuple(
        dataclasses.replace(function, calls=tuple(EndpointName(f"{prefix}{name}") for name in function.calls))
        for function in entry.functions
    )
    return dataclasses.replace(
        entry,
        name=endpoint_name(f"{prefix}{entry.name}"),
        template=template,
        functions=functions,
        template_digest=digest(template),
    )


def _template(template: Template, prefix: str) -> Template:
    return dataclasses.replace(template, env={**template.env, PREFIX_VARIABLE: prefix})
