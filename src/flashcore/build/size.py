"""Whether an archive is small enough, and what is largest in it if it is not."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from flashcore.build.archive import ArchiveEntry
from flashcore.worker.dependencies import DEPENDENCIES

_SHOWN = 10


TOO_LARGE = (
    "leave files out in .flashcoreignore, name packages that the image has (--exclude), or put large data on a volume"
)
"""What to do about it."""


def excess(endpoint: str, entries: Iterable[ArchiveEntry], largest: int) -> str:
    """What is wrong where the entries make more than `largest` bytes, with the largest parts; empty where they fit."""
    parts: Counter[str] = Counter()
    for entry in entries:
        parts[_part_of(entry.path)] += entry.size
    size = sum(parts.values())
    if size <= largest:
        return ""
    lines = "".join(f"\n  {_shown(part_size):>9}  {part}" for part, part_size in parts.most_common(_SHOWN))
    return (
        f"the archive of {endpoint!r} would have {_shown(size)}, and {_shown(largest)} are allowed; "
        f"the largest parts are:{lines}"
    )


def _part_of(path: str) -> str:
    """A bundled package as a whole, any other file by itself."""
    folder, _, rest = path.partition("/")
    if folder == DEPENDENCIES and "/" in rest:
        return f"{folder}/{rest.partition('/')[0]}/"
    return path


def _shown(size: int) -> str:
    return f"{size / 1e6:.1f} MB"
