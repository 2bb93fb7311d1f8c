"""What serving HTTP does to logging: nothing that user code would notice."""

import asyncio
import logging
from collections.abc import Iterator

import pytest

from flashcore.worker.guard import Receive, Scope, Send
from flashcore.worker.lb import HttpServer, load_server, server_loop


class Noting(logging.Handler):
    """A handler of user code that knows whether somebody has closed it."""

    closed = False

    def emit(self, record: logging.LogRecord) -> None:
        """Nothing is written anywhere."""

    def close(self) -> None:
        """Somebody is done with it."""
        self.closed = True
        super().close()


@pytest.fixture
def own_levels() -> Iterator[None]:
    """The levels of uvicorn's loggers are as they were when the test is over."""
    loggers = [logging.getLogger(name) for name in ("uvicorn.error", "uvicorn.access", "uvicorn.asgi")]
    levels = [logger.level for logger in loggers]
    yield
    for logger, level in zip(loggers, levels, strict=True):
        logger.setLevel(level)


async def app(_scope: Scope, _receive: Receive, _send: Send) -> None:
    """Serves nothing."""


@pytest.mark.usefixtures("own_levels")
def test_what_user_code_logs_with_is_left_open() -> None:
    """Neither the server's loop nor the server closes handlers that were there before."""
    handler = Noting()

    server_loop().close()
    load_server(app)

    assert not handler.closed


@pytest.mark.usefixtures("own_levels")
def test_uvicorn_says_no_more_than_its_warnings() -> None:
    """What it tells of each start is not for the log of a replica, even where user code logs everything."""
    logging.getLogger("uvicorn.error").setLevel(logging.NOTSET)

    asyncio.run(_made())

    assert not logging.getLogger("uvicorn.error").isEnabledFor(logging.INFO)
    assert logging.getLogger("uvicorn.error").isEnabledFor(logging.WARNING)


async def _made() -> HttpServer:
    return HttpServer(app, lambda: None)
