"""Carries conversations on: blocking, or awaited."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from flashcore.client.exchange import Conversation, Pause, Response, Step, Told
from flashcore.client.locate import gateway_url
from flashcore.client.transport import Transport
from flashcore.model.errors import FlashcoreError, Unavailable
from flashcore.wire.seal import SigningKey

T = TypeVar("T")


class Carrier:
    """Talks to a gateway. `locate` gives its address, anew for each request; `key` what calls are signed with.

    `authorization` is the header that jobs are submitted with; requests bring their own.
    """

    def __init__(
        self,
        locate: Callable[[], str] = gateway_url,
        key: Callable[[], SigningKey | None] = lambda: None,
        authorization: Callable[[], str] = lambda: "",
    ) -> None:
        self.key = key
        self._authorization = authorization
        self._locate = locate
        self._transport = Transport()
        self._answered = False

    def carry(self, conversation: Conversation[T]) -> T:
        """Blocking, to the end. Raises what the conversation raises."""
        try:
            step = next(conversation)
            while True:
                try:
                    response = self._do(step)
                except FlashcoreError as error:
                    step = conversation.throw(error)
                else:
                    step = conversation.send(response)
        except StopIteration as end:
            value: T = end.value
            return value

    async def carry_async(self, conversation: Conversation[T]) -> T:
        """Awaited, to the end. Raises what the conversation raises."""
        try:
            step = next(conversation)
            while True:
                try:
                    response = await self._do_async(step)
                except FlashcoreError as error:
                    step = conversation.throw(error)
                else:
                    step = conversation.send(response)
        except StopIteration as end:
            value: T = end.value
            return value

    def _do(self, step: Step) -> Response | Told | None:
        if isinstance(step, Pause):
            import time

            time.sleep(step.seconds)
            return None
        try:
            response = self._transport.send(self._locate(), step, self._authorization)
        except Unavailable as error:
            self._note_loss(error)
            raise
        self._answered = True
        return response

    async def _do_async(self, step: Step) -> Response | Told | None:
        if isinstance(step, Pause):
            import asyncio

            await asyncio.sleep(step.seconds)
            return None
        try:
            response = await self._transport.send_async(self._locate(), step, self._authorization)
        except Unavailable as error:
            self._note_loss(error)
            raise
        self._answered = True
        return response

    def _note_loss(self, error: Unavailable) -> None:
        """Tell one that was never there from one that went away, and may be back in a moment."""
        error.data["answered_before"] = self._answered
