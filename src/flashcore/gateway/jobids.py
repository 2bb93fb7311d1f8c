"""The ids of new jobs."""

from __future__ import annotations

import os
import time
from collections.abc import Callable

from flashcore.model.names import JobId

_RANDOM_DIGITS = 19
_IDS_AT_ONCE = 128
_VARIANTS = dict(zip("0123456789abcdef", "89ab89ab89ab89ab", strict=True))


class JobIds:
    """Makes ids in the shape that RunPod's have: UUIDs of version 7 (RFC 9562), 74 bits of each at random.

    They begin with the time, so that a store's index of ids grows at its end: one of random ids has a page to write for
    each new job, and one to read where it is larger than memory. The system is asked for the random bits of many at
    once, since every time that it is asked another thread may take over.
    """

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        self._clock = clock
        self._random = ""
        self._at = 0

    def for_run(self) -> JobId:
        """An id for a job that is asked for later."""
        return JobId(f"{self._uuid()}-u1")

    def for_runsync(self) -> JobId:
        """An id for a job that is waited for."""
        return JobId(f"sync-{self._uuid()}-u1")

    def _uuid(self) -> str:
        at = self._at
        if at == len(self._random):
            self._random = os.urandom(_RANDOM_DIGITS * _IDS_AT_ONCE // 2).hex()
            at = 0
        self._at = end = at + _RANDOM_DIGITS
        digits = self._random[at:end]
        moment = f"{int(self._clock() * 1000):012x}"
        variant = _VARIANTS[digits[3]]
        return f"{moment[:8]}-{moment[8:]}-7{digits[:3]}-{variant}{digits[4:7]}-{digits[7:]}"
