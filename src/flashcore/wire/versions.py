"""Protocol versions: every connection of ours begins by agreeing on one."""

from __future__ import annotations

from dataclasses import dataclass

from flashcore.model.errors import IncompatiblePeer


@dataclass(frozen=True, slots=True)
class VersionRange:
    """The protocol versions that a process speaks, both ends included."""

    lowest: int
    highest: int


PROTOCOL = VersionRange(1, 2)
"""What this version of flashcore speaks. A gateway keeps the version before the newest one."""

NUMBERED = 2
"""From this version on chunks are numbered and acknowledged, and a worker says what its functions take."""

DATA_PLANE = VersionRange(1, 3)
"""The same between control planes and gateways.

1: every table is sent whole; 2: or what changed in it; 3: and long ones come in parts, and a gateway can be told to
take no new work.
"""

QUIESCES = 3
"""From this version of the data plane on a gateway knows what Quiesce means."""

PARTS = 3
"""From this version of the data plane on tables may come in parts."""


def agree(ours: VersionRange, theirs: VersionRange, peer: str) -> int:
    """The highest common version. Raises IncompatiblePeer, naming `peer` and both ranges."""
    version = min(ours.highest, theirs.highest)
    if version >= max(ours.lowest, theirs.lowest):
        return version
    older = "the replica (deploy again)" if theirs.highest < ours.lowest else "the server (restart it)"
    raise IncompatiblePeer(
        f"{peer} speaks protocol {theirs.lowest}-{theirs.highest}, this process {ours.lowest}-{ours.highest}",
        next_step=f"upgrade {older}",
    )
