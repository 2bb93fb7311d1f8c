"""Packages that came with the artifact."""

from __future__ import annotations

DEPENDENCIES = "dependencies"
"""The folder of an artifact's root where they are; generated handlers put it on the path before they import."""
