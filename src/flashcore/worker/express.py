"""The way of a lone job's result past the control loop: the thread that the job has ended in says it itself.

To hand it over would be to wake a thread for a job that may have taken less time than that. With other jobs under way
the loop is awake anyway, and has several results in one frame; so this is for the job that is alone.
"""

from __future__ import annotations

import os
from collections.abc import Callable, MutableMapping

from flashcore.model.names import JobId
from flashcore.wire.heads import encode_message
from flashcore.wire.messages import Result, Results
from flashcore.worker.link import GatewayLink

LARGEST = 1 << 15
"""Bytes of an output; to write more may take a while, which the thread has other uses for."""


class Express:
    """`take` may be called from any thread; the rest belongs to the control loop.

    `unreceived` are the results that the gateway does not have yet, as far as anybody knows.
    """

    def __init__(self, unreceived: MutableMapping[JobId, Result]) -> None:
        self._unreceived = unreceived
        self._link: GatewayLink | None = None
        self._process = 0
        self.arrived: Callable[[], object] = lambda: None
        """Called when the gateway has received results, some of which may have gone this way."""

    @property
    def is_open(self) -> bool:
        """Whether results may go this way."""
        return self._link is not None

    def open(self, link: GatewayLink) -> None:
        """There is a gateway that has been told all there is to tell."""
        self._link, self._process = link, os.getpid()

    def shut(self) -> None:
        """From now on everything is to be heard of by the loop first."""
        self._link = None

    def take(self, result: Result) -> bool:
        """Send it now; False: it is to go the usual way, and may be on this one all the same."""
        link, output = self._link, result.output
        if link is None or result.unfit is not None or (output is not None and len(output.data) > LARGEST):
            return False
        if os.getpid() != self._process:
            return False  # a child that user code has forked and that returns: the result is its parent's to give
        # Kept before it is sent: the gateway's receipt may be quicker than this thread.
        self._unreceived[result.id] = result
        return link.send_now(encode_message(Results((result,))))
