"""What `make run` shows: a real app on this machine, from the first deployment to nothing being left of it.

Works in a temporary copy of this folder and calls the real command line, as a person would. Ends with 0 when every
step did what it should, 1 when one did not, 130 when it was interrupted; it cleans up in any case.
"""

from __future__ import annotations

import asyncio
import contextlib
import importlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
import traceback
import urllib.request
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FrameType
from typing import Any

import psutil

from flashcore.model.layout import Layout

HERE = Path(__file__).resolve().parent
PATIENCE = 180
"""Seconds after which a step has failed."""


class StepFailed(Exception):
    """A step did not do what it should; the message says which and what it did instead."""


class Tour:
    """The steps, in the order in which they are shown."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.layout = Layout(folder, "production")
        self.began = time.monotonic()

    def run(self) -> None:
        """All of them."""
        self.deploy()
        app = self.import_app()
        self.call_by_command()
        self.call_as_functions(app)
        self.call_over_http()
        self.raise_remotely(app)
        self.update(app)
        self.look()
        self.remove()

    def deploy(self) -> None:
        """From nothing to three endpoints."""
        self.say("Deploy three endpoints from one Python file. Nothing runs yet: the platform is started on the way.")
        self.flashcore("deploy", "--timeout", str(PATIENCE))

    def import_app(self) -> Any:
        """The app's module, as any program of the project would import it."""
        sys.path.insert(0, str(self.folder))
        os.chdir(self.folder)
        return importlib.import_module("app")

    def call_by_command(self) -> None:
        """From a shell."""
        self.say("Call a queue function and a route from the command line.")
        self.expect("Hello, Ada! This is version 1.", self.flashcore("call", "texts", "greet", '{"name": "Ada"}'))
        self.expect('{"item": 7, "version": 1}', self.flashcore("call", "web", "/items/7"))

    def call_as_functions(self, app: Any) -> None:
        """From Python."""
        self.say("Call them from Python, as the functions that they are.")
        self.show("greet.remote('Grace')", "Hello, Grace! This is version 1.", app.greet.remote("Grace"))
        words = asyncio.run(_awaited(app.count_words("to be or not to be")))
        self.show("await count_words('to be or not to be')", {"to": 2, "be": 2, "or": 1, "not": 1}, words)
        many = sorted(app.greet.map(["Ann", "Bob", "Cid"]))
        self.show("greet.map([...])", [f"Hello, {name}! This is version 1." for name in ("Ann", "Bob", "Cid")], many)
        notebook = app.Notebook("shopping")
        notebook.write.remote("milk")
        self.show("Notebook('shopping').write('bread')", 2, notebook.write.remote("bread"))
        self.show("... .read(), from the same instance", "shopping\nmilk\nbread", notebook.read.remote())

    def call_over_http(self) -> None:
        """From anything that speaks HTTP."""
        self.say("Call the routes over HTTP. The second one calls the queue endpoint from inside its replica.")
        self.show(
            "GET /web/items/12?verbose=true",
            {"item": 12, "version": 1, "square": 144},
            self.get("/web/items/12?verbose=true"),
        )
        self.show("GET /web/hello/Ada", {"greeting": "Hello, Ada! This is version 1."}, self.get("/web/hello/Ada"))

    def raise_remotely(self, app: Any) -> None:
        """An error of the user's own."""
        self.say("Call a function that raises: its traceback comes back from the replica.")
        try:
            answer = app.divide.remote(1, 0)
        except ZeroDivisionError as error:
            indent(f"{error!r}{error.__cause__}")
            self.expect("return dividend / divisor", str(error.__cause__))
        else:
            raise StepFailed(f"divide(1, 0) answered {answer!r} instead of raising")

    def update(self, app: Any) -> None:
        """A second version, without a call that fails."""
        self.say("Change the app to version 2 and deploy it, while two callers go on calling.")
        source = self.folder / "app.py"
        source.write_text(source.read_text().replace("VERSION = 1", "VERSION = 2"))
        callers = [
            Caller("queue function", lambda: version_in(app.greet.remote())),
            Caller("HTTP route", lambda: str(self.get("/web/items/1")["version"])),
        ]
        with calling(callers):
            wait_for("the callers' first answers", lambda: all(caller.versions for caller in callers))
            self.flashcore("deploy", "--timeout", str(PATIENCE))
            wait_for("answers of version 2", lambda: all(caller.versions["2"] for caller in callers))
        for caller in callers:
            print(f"    {caller.told()}")
        for caller in callers:
            if caller.failures or set(caller.versions) != {"1", "2"}:
                raise StepFailed(f"the update was not seamless: {caller.told()}\n" + "\n".join(caller.failures[:5]))

    def look(self) -> None:
        """The table of endpoints."""
        self.say("Look at what is deployed.")
        table = self.flashcore("status")
        for endpoint in ("texts", "memory", "web"):
            self.expect(endpoint, table)

    def remove(self) -> None:
        """Back to nothing."""
        self.say("Take everything away: replicas finish what they are doing, then the platform stops.")
        self.flashcore("undeploy", "--all", "--timeout", str(PATIENCE))
        self.flashcore("server", "stop")
        left = self.left_over()
        if left:
            raise StepFailed("something is left: " + "; ".join(left))
        print(f"    no process, socket or replica is left\n\nAll of it worked, in {self.seconds()}.")

    def say(self, what: str) -> None:
        """The title of a step."""
        print(f"\n== {what}  [{self.seconds()}]", flush=True)

    def seconds(self) -> str:
        """How long it has taken so far."""
        return f"{time.monotonic() - self.began:.1f} s"

    def flashcore(self, *arguments: str) -> str:
        """Run the command line in the project, show what it says, and return it."""
        print(
            "  $ flashcore " + " ".join(repr(word) if re.search(r"[ {]", word) else word for word in arguments),
            flush=True,
        )
        command = [sys.executable, "-m", "flashcore", *arguments]
        said = []
        with subprocess.Popen(
            command,
            cwd=self.folder,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        ) as running:
            for line in running.stdout or ():
                indent(line)
                said.append(line)
        if running.returncode != 0:
            raise StepFailed(f"flashcore {' '.join(arguments)} ended with {running.returncode}")
        return "".join(said)

    def get(self, path: str) -> Any:
        """What the gateway answers, JSON decoded."""
        gateway = json.loads(self.layout.gateway_file.read_text())["url"]
        with urllib.request.urlopen(gateway + path, timeout=30) as answer:  # noqa: S310 - the gateway's own address
            return json.load(answer)

    def show(self, call: str, expected: object, answer: object) -> None:
        """Show a call with its answer, which must be the expected one."""
        indent(f"{call}\n  -> {answer!r}")
        if answer != expected:
            raise StepFailed(f"{call} answered {answer!r} instead of {expected!r}")

    def expect(self, part: str, whole: str) -> None:
        """Fail unless something was said."""
        if part not in whole:
            raise StepFailed(f"{part!r} was expected, and this came:\n{whole}")

    def left_over(self) -> list[str]:
        """What of ours is still there, one line each."""
        processes = [f"process {process.pid}" for process in processes_of(self.folder)]
        files = [*self.layout.run.glob("*"), *self.layout.replicas.glob("*")]
        announced = [path for path in (self.layout.server_file, self.layout.gateway_file) if path.exists()]
        return processes + [str(path) for path in (*files, *announced)]


class Caller(threading.Thread):
    """Calls something over and over, and counts what comes back."""

    def __init__(self, name: str, call: Callable[[], str]) -> None:
        super().__init__(name=name, daemon=True)
        self.versions: Counter[str] = Counter()
        self.failures: list[str] = []
        self._call = call
        self._over = threading.Event()

    def run(self) -> None:
        """Until it is told to stop."""
        while not self._over.wait(0.01):
            try:
                self.versions[self._call()] += 1
            except Exception as error:  # noqa: BLE001 - whatever goes wrong is a call that failed
                self.failures.append(f"{type(error).__name__}: {error}")

    def stop(self) -> None:
        """Stop after the call that is under way."""
        self._over.set()
        self.join(PATIENCE)

    def told(self) -> str:
        """The counts in words."""
        calls = self.versions.total() + len(self.failures)
        seen = ", ".join(f"{count} by version {version}" for version, count in sorted(self.versions.items()))
        return f"{self.name}: {calls} calls, {len(self.failures)} failed; answered {seen or 'never'}"


@contextlib.contextmanager
def calling(callers: list[Caller]) -> Iterator[None]:
    """Let callers call while something else is done."""
    for caller in callers:
        caller.start()
    try:
        yield
    finally:
        for caller in callers:
            caller.stop()


def wait_for(what: str, condition: Callable[[], bool]) -> None:
    """Return as soon as the condition holds."""
    deadline = time.monotonic() + 60
    while not condition():
        if time.monotonic() > deadline:
            raise StepFailed(f"{what} did not come within a minute")
        time.sleep(0.02)


def version_in(greeting: str) -> str:
    """The version that a greeting tells of."""
    found = re.search(r"version (\d+)", greeting)
    if found is None:
        raise ValueError(f"no version in {greeting!r}")
    return found[1]


def processes_of(folder: Path) -> list[psutil.Process]:
    """Every process but this one that has to do with the project."""
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            words = [*process.cmdline(), process.cwd(), *process.environ().values()]
            if process.pid != os.getpid() and any(str(folder) in word for word in words):
                found.append(process)
    return found


def indent(text: str) -> None:
    """Print text below a step."""
    print("\n".join(f"    {line}" for line in text.rstrip("\n").splitlines()), flush=True)


def clean_up(folder: Path) -> None:
    """End and remove whatever there still is, by the front door first."""
    for arguments in (["undeploy", "--all", "--force"], ["server", "stop"]):
        if processes_of(folder):
            command = [sys.executable, "-m", "flashcore", *arguments]
            with contextlib.suppress(subprocess.TimeoutExpired):
                subprocess.run(
                    command, cwd=folder, stdin=subprocess.DEVNULL, capture_output=True, timeout=60, check=False
                )
    for process in processes_of(folder):
        with contextlib.suppress(psutil.Error):
            process.kill()
    os.chdir(HERE)
    # Sockets are elsewhere when the path of the project is too long for them.
    for place in (Layout(folder, "production").run, folder):
        shutil.rmtree(place, ignore_errors=True)


def show_logs(folder: Path) -> None:
    """The ends of all log files, for whoever wants to know why."""
    for path in sorted((folder / ".flashcore").rglob("*.log")):
        lines = path.read_text(errors="replace").splitlines()[-20:]
        if lines:
            print(f"\n--- {path.name}")
            indent("\n".join(lines))


def interrupt(_signal_number: int, _frame: FrameType | None) -> None:
    """Let SIGTERM clean up, as Ctrl-C does."""
    raise KeyboardInterrupt


async def _awaited(awaitable: Any) -> Any:
    return await awaitable


def main() -> int:
    """Show the tour; the exit status."""
    signal.signal(signal.SIGTERM, interrupt)
    for name in [name for name in os.environ if name.startswith("FLASHCORE_")]:
        del os.environ[name]
    folder = Path(tempfile.mkdtemp(prefix="flashcore-tour-")).resolve()
    try:
        for name in ("app.py", "flashcore.toml"):
            shutil.copy(HERE / name, folder)
        Tour(folder).run()
    except StepFailed as failure:
        show_logs(folder)
        print(f"\nThis did not work: {failure}")
        return 1
    except KeyboardInterrupt:
        print("\ninterrupted: cleaning up")
        return 130
    except Exception:  # noqa: BLE001 - a step may fail in any way, and each is told with the logs
        show_logs(folder)
        print(f"\nThis did not work:\n{traceback.format_exc()}")
        return 1
    finally:
        clean_up(folder)
    return 0


if __name__ == "__main__":
    sys.exit(main())
