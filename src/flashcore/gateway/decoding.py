"""Frames from workers: a large one waits for its end in a file, and its payloads are views of it."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path

from flashcore.wire.frames import Frame, FrameDecoder, parse_text_head, split_frame
from flashcore.wire.spill import SPILLED_FROM, Spill

_log = logging.getLogger(__name__)


class SpillingDecoder:
    """A FrameDecoder that holds no large frame in memory, unless no file takes it: a result is not lost for that."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._frames = FrameDecoder(read_head=parse_text_head)
        self._spill: Spill | None = None
        self._missing = 0
        self._stays = False
        """The frame that is coming stays in memory."""

    def feed(self, data: bytes) -> Iterator[Frame]:
        """Yield the frames that are complete now. Raises ProtocolError; the connection is then of no more use."""
        while data:
            if self._spill is None:
                for frame in self._frames.feed(data):
                    self._stays = False
                    yield frame
                data = self._begin()
            else:
                large, data = self._fill(self._spill, data)
                if large is not None:
                    yield large

    def close(self) -> None:
        """Drop what has come of a frame: the rest of it will not."""
        if self._spill is not None:
            self._spill.close()
            self._spill = None

    def _begin(self) -> bytes:
        """Go on in a file where that is worth it; what has come of the frame is given back to be written there."""
        size = self._frames.missing + self._frames.pending
        if self._stays or size <= SPILLED_FROM:
            return b""
        try:
            self._spill = Spill(self._folder)
        except OSError as error:
            self._stay(error)
            return b""
        self._missing = size
        return self._frames.take_pending()

    def _fill(self, spill: Spill, data: bytes) -> tuple[Frame | None, bytes]:
        """The frame, if this was its end, and what is to be fed next."""
        part, before = data[: self._missing], spill.size
        try:
            spill.append(part)
            self._missing -= len(part)
            if self._missing:
                return None, b""
            view = spill.view()
        except OSError as error:
            self._stay(error)
            self._spill = None
            return None, bytes(spill.take_back() + data[spill.size - before :])
        self._spill = None
        frame, buffers = split_frame(view, parse_text_head)
        # A small payload would keep the whole file for as long as it is kept itself.
        kept = tuple(bytes(buffer) if len(buffer) <= SPILLED_FROM else buffer for buffer in buffers)
        return Frame(frame.kind, frame.head, kept), data[len(part) :]

    def _stay(self, error: OSError) -> None:
        _log.warning("a large message of a worker stays in memory, %s does not take it: %s", self._folder, error)
        self._stays = True
