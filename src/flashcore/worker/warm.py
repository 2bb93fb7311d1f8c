"""`python -m flashcore.worker.warm --handler PATH`: import an endpoint's code once, and fork its replicas.

    FLASHCORE_WARM_FD    descriptor of the socket to the provider (see `warm_words`)
    FLASHCORE_WARM_LOG   file for what is written after the import; until then it goes where the first replica's goes

The process has one thread and no event loop; a replica makes its own after the fork. When the provider is gone it ends,
and its replicas go on. Linux only.
"""

from __future__ import annotations

import contextlib
import gc
import os
import signal
import socket
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from flashcore.model.errors import ConfigurationError
from flashcore.worker.call import callables_of
from flashcore.worker.load import load_handler
from flashcore.worker.logs import LogFile, Output
from flashcore.worker.warm_child import Inheritance, become_replica, write_to
from flashcore.worker.warm_environ import MARK, ROOM, EnvironmentBlock, encode_environment, replace_environment
from flashcore.worker.warm_fitness import open_descriptors, why_unfit
from flashcore.worker.warm_memory import fill_gaps
from flashcore.worker.warm_parent import WarmLoop
from flashcore.worker.warm_rehearsal import gather_ahead, rehearse, rehearse_http
from flashcore.worker.warm_words import Unfit, Warm

USAGE = "usage: python -m flashcore.worker.warm --handler PATH\n"


def main(arguments: Sequence[str]) -> int:
    """Be a warm parent, or in a child a replica; returns the exit status as `flashcore.worker` does."""
    match arguments:
        case ["--handler", path]:
            if signal.getsignal(signal.SIGINT) is signal.default_int_handler:  # and is not ignored
                signal.signal(signal.SIGINT, signal.SIG_DFL)  # it ends by it, without a traceback in its log
            return _live(Path(path))
        case _:
            sys.stderr.write(USAGE)
            return 2


def _live(handler: Path) -> int:
    environ = dict(os.environ)
    environ.pop(ROOM, None)
    channel = socket.socket(fileno=int(environ.pop("FLASHCORE_WARM_FD")))
    log = Path(environ.pop("FLASHCORE_WARM_LOG"))
    output = Output(LogFile(None, 0))
    output.install()
    loop = WarmLoop(channel)
    try:
        block = EnvironmentBlock.of_this_process()
        replace_environment(block, environ)
    except (OSError, ValueError) as error:
        loop.tell(Unfit(f"this system does not let a process change what it shows of itself: {error}"))
        return 1
    began = time.perf_counter()
    reason = _warm_up(handler)
    if reason is not None:
        loop.tell(Unfit(reason))
        # No more of the user's code is run here, not even what was to run at the exit.
        os._exit(1)
    write_to(log)
    loop.tell(Warm(time.perf_counter() - began))
    inherited = Inheritance(handler, output, block, _given(environ), fill_gaps())
    birth = loop.serve()
    if birth is None:
        os._exit(0)
    try:
        return become_replica(birth, inherited)
    except (ConfigurationError, OSError) as error:
        sys.stderr.write(f"flashcore: the worker cannot be started: {error}\n")
        return 2


def _given(environ: dict[str, str]) -> bytes:
    """What children show of the environment that this process was given; what marks it as a parent is forgotten."""
    os.environ.pop(MARK, None)
    return encode_environment({name: value for name, value in environ.items() if name not in (MARK, "HOME")})


def _warm_up(handler: Path) -> str | None:
    """Import the code; why it cannot be forked, if it cannot."""
    with contextlib.suppress(OSError):  # a full disk, a folder whose path is too long for a socket: it is not needed
        gather_ahead()
    before = open_descriptors()
    try:
        module = load_handler(handler)
        reason = why_unfit(before) and _why_unfit_for_good(before)
        if reason is None:
            _prepare(module)
    except BaseException as error:  # noqa: BLE001 - user code may raise anything; a spawned replica will tell of it
        return f"its code cannot be imported ahead: {type(error).__name__}: {error}"
    gc.collect()  # what is frozen stays for ever
    gc.freeze()  # the collector would write to each page that it looks at, and take it from what is shared
    return reason


def _why_unfit_for_good(before: frozenset[int]) -> str | None:
    """Look again once what nobody holds any more is gone: it closes what it has open."""
    gc.collect()
    return why_unfit(before)


def _prepare(module: object) -> None:
    """Import what serving takes, and do all that is done once: each replica would do so for itself."""
    with contextlib.suppress(ImportError):  # then values that need it are refused, as they are in any replica
        import cloudpickle  # noqa: F401 - kept for those that are forked
    handler, app = getattr(module, "handler", None), getattr(module, "app", None)
    if callable(handler):
        _ = callables_of(handler).takes  # looked up once, which takes reading signatures
    if callable(app):
        from flashcore.worker.lb import load_server

        load_server(app)
    # Only now: an import puts out of Python's cache of attributes what was looked up before.
    with contextlib.suppress(OSError):  # as above
        if callable(app):
            rehearse_http()
        else:
            rehearse()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
