"""The JSON Schema of the manifest, made from the values that it is read into."""

from __future__ import annotations

from typing import Any

from flashcore.model.manifest import MANIFEST_VERSION, Manifest


def manifest_schema() -> dict[str, Any]:
    """The schema of `flashcore_manifest.json`, as published with the documentation.

    Fields that it does not name may be there: plugins and newer versions add them.
    """
    from pydantic import TypeAdapter

    schema: dict[str, Any] = TypeAdapter(Manifest).json_schema(mode="serialization")
    for part in (schema, *schema["$defs"].values()):
        # What is not known travels beside the known fields, not inside one called `extra`.
        part.get("properties", {}).pop("extra", None)
    schema["properties"]["manifest_version"]["const"] = MANIFEST_VERSION
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema}
