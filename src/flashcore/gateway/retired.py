"""Gateways that were replaced and finish what they had begun: each has a file, for as long as it does."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from contextlib import contextmanager

from flashcore.gateway.files import make_private_directory
from flashcore.model.layout import Layout
from flashcore.presence import Presence, own_presence, read_presence, write_presence


@contextmanager
def noted_as_retired(layout: Layout, version: str) -> Iterator[None]:
    """Have this process found by `retired_gateways` until the block ends."""
    make_private_directory(layout.retired)
    file = layout.retired / f"{os.getpid()}.json"
    write_presence(file, own_presence("", version))
    try:
        yield
    finally:
        with contextlib.suppress(FileNotFoundError):
            file.unlink()


def retired_gateways(layout: Layout) -> tuple[Presence, ...]:
    """Those that still run, by pid. What others left that were killed is removed."""
    found = []
    for file in layout.retired.glob("*.json"):
        present = read_presence(file)
        if present is not None and present.alive:
            found.append(present)
        elif present is not None:
            with contextlib.suppress(FileNotFoundError):
                file.unlink()
    return tuple(sorted(found, key=lambda one: one.pid))
