"""The pluggy markers of this project, in one place so that specs and plugins agree on the name."""

from __future__ import annotations

import pluggy

PROJECT = "flashcore"
"""Name of the pluggy project, of the entry-point group, and (with an underscore) the prefix of every hook."""

hookspec = pluggy.HookspecMarker(PROJECT)
hookimpl = pluggy.HookimplMarker(PROJECT)
