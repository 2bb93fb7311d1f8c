"""What the versions of RunPod's SDK can do, by the name that they give themselves."""

from __future__ import annotations

import pytest

from flashcore.wire.runpod import asks_for_stops, reads_lists


@pytest.mark.parametrize(
    ("agent", "lists", "stops"),
    [
        (b"RunPod-Python-SDK/1.6.2 (Linux)", False, False),
        (b"RunPod-Python-SDK/1.7.1 (Linux)", True, False),
        (b"RunPod-Python-SDK/1.9.1 (Linux)", True, False),
        (b"RunPod-Python-SDK/1.10.0 (Linux; x86_64) Language/Python 3.11.7", True, True),
        (b"RunPod-Python-SDK/2.0.0rc1 (Linux)", True, True),
        (b"python-httpx/2.0.0", False, False),
        (b"RunPod-Python-SDK/" + b"9" * 5000 + b".1.1", False, False),
        (b"", False, False),
    ],
)
def test_a_version_is_known_by_its_name(agent: bytes, lists: bool, stops: bool) -> None:  # noqa: FBT001 - from the table
    """Numbers count as numbers, and nobody is made to read thousands of digits."""
    assert (reads_lists(agent), asks_for_stops(agent)) == (lists, stops)
