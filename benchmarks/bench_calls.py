"""What calling costs: small arguments, a small call, 100 MB to a replica and back; beside limits and peers.

Codec      arguments and a result of a few numbers and texts: pickled, signed, checked, unpickled. The limit is plain
           pickle; the peer is what is usual where JSON is spoken: cloudpickle in base64 in JSON, unsigned.
Calls      a direct call and a job, through a gateway to a real replica, each a process of its own.
100 MB     an array by a direct call. The limit is a raw relay: the same bytes from a client through a relay process to
           an echo process, which has read all of it before it answers, and back, over loopback sockets.

All candidates take turns in one run. The exit status is 1 when a target is missed.

    python benchmarks/bench_calls.py [--rounds 7] [--megabytes 100]
"""

from __future__ import annotations

import argparse
import base64
import contextlib
import json
import multiprocessing
import os
import pickle
import socket
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import cloudpickle
import numpy as np

from flashcore import LoadBalancedEndpoint, QueueEndpoint
from flashcore.model.manifest import FunctionEntry, FunctionKind
from flashcore.testing.stand import Served, standing
from flashcore.wire import seal, sealed
from flashcore.wire.envelope import Arguments, Call

CODEC_TARGET = 20.0
"""Microseconds to serialize and deserialize small arguments."""

RELAY_TARGET = 2.0
"""Times the raw relay."""

ARGUMENTS = (["first", "second"], 3), {"size": 4.5, "name": "x"}
KEY = "the key of the measurement"

jobs = QueueEndpoint("jobs")
direct = LoadBalancedEndpoint("direct")


@jobs.function
def echo_job(value: Any) -> Any:
    """Give it back."""
    return value


@direct.post("/echo")
def echo_direct(value: Any) -> Any:
    """Give it back."""
    return value


# -- codecs -----------------------------------------------------------------------------------------------------------


def processor_microseconds(work: Callable[[], object], times: int = 5_000) -> float:
    """The processor's time of one of many runs: others at work on this machine do not count."""
    began = time.process_time()
    for _ in range(times):
        work()
    return (time.process_time() - began) / times * 1e6


def microseconds(work: Callable[[], object], times: int) -> float:
    """The time of one of many runs."""
    began = time.perf_counter()
    for _ in range(times):
        work()
    return (time.perf_counter() - began) / times * 1e6


def call_codec() -> sealed.SealedCall:
    """One call's way: arguments to signed bytes, and back."""
    stamp = seal.new_stamp(60.0)
    call = Call("echo", arguments=Arguments(*ARGUMENTS))
    (data,) = sealed.seal_call(SIGNING, "jobs", call, stamp)
    opened = sealed.open_call(SIGNING, "jobs", data)
    NONCES.take(opened.package, "")
    if opened.arguments.args != ARGUMENTS[0]:
        raise AssertionError("the arguments were changed")
    return opened


def whole_codec() -> None:
    """The way of a call and of its reply."""
    call = call_codec()
    (data,) = sealed.seal_value(call, ARGUMENTS)
    sealed.open_reply(SIGNING, "jobs", data, call.package.nonce, "")


def peer_codec() -> None:
    """What is usual: cloudpickle in base64 in JSON."""
    text = json.dumps({"input": base64.b64encode(cloudpickle.dumps(ARGUMENTS)).decode()})
    unpickle(base64.b64decode(json.loads(text)["input"]))


def plain_codec() -> None:
    """Pickle, unsigned."""
    unpickle(pickle.dumps(ARGUMENTS, 5))


unpickle = pickle.loads  # of what was pickled a moment ago

SIGNING = seal.SigningKey(KEY)
NONCES = seal.Nonces()


def measure_codecs(rounds: int) -> bool:
    """Print the codecs' times; whether the target is met."""
    candidates: dict[str, Callable[[], object]] = {
        "plain pickle (limit)": plain_codec,
        "cloudpickle + base64 + JSON (peer)": peer_codec,
        "flashcore, arguments": call_codec,
        "flashcore, arguments and reply": whole_codec,
    }
    times = in_turns({name: partial(processor_microseconds, work) for name, work in candidates.items()}, rounds)
    print("\nsmall arguments, serialized and deserialized       us")
    for name, values in times.items():
        print(f"  {name:45} {statistics.median(values):7.1f}")
    # The best round: the others measure who else is at work on this machine.
    return verdict("arguments, signed and checked", min(times["flashcore, arguments"]), CODEC_TARGET, "us")


# -- the raw relay ----------------------------------------------------------------------------------------------------


def raw_echo(ports: Any, size: int) -> None:
    """Read so many bytes, send them back, again and again."""
    with listening(ports) as server:
        connection, _ = server.accept()
        memory = bytearray(size)
        while receive(connection, memory):
            connection.sendall(memory)


def raw_relay(ports: Any, target: int) -> None:
    """Pass on what comes, both ways."""
    with listening(ports) as server:
        client, _ = server.accept()
        backend = socket.create_connection(("127.0.0.1", target))
        for one, other in ((client, backend), (backend, client)):
            threading.Thread(target=pump, args=(one, other), daemon=True).start()
        threading.Event().wait()


def pump(source: socket.socket, sink: socket.socket) -> None:
    """From one to the other, in the pieces in which it comes."""
    memory = bytearray(256 << 10)
    view = memoryview(memory)
    while count := source.recv_into(memory):
        sink.sendall(view[:count])


def receive(connection: socket.socket, memory: bytearray) -> bool:
    """Fill the memory; False at the end of the connection."""
    filled = 0
    view = memoryview(memory)
    while filled < len(memory):
        count = connection.recv_into(view[filled:])
        if not count:
            return False
        filled += count
    return True


@contextlib.contextmanager
def listening(ports: Any) -> Iterator[socket.socket]:
    """A listening socket whose port is told."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        ports.send(server.getsockname()[1])
        yield server


@contextlib.contextmanager
def relayed(size: int) -> Iterator[Callable[[bytes], bytearray]]:
    """Sends bytes through a relay to an echo, and gives what comes back."""
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    echo = context.Process(target=raw_echo, args=(theirs, size), daemon=True)
    echo.start()
    relay = context.Process(target=raw_relay, args=(theirs, ours.recv()), daemon=True)
    relay.start()
    connection = socket.create_connection(("127.0.0.1", ours.recv()))

    def there_and_back(data: bytes) -> bytearray:
        connection.sendall(data)
        memory = bytearray(size)
        receive(connection, memory)
        return memory

    yield there_and_back
    connection.close()
    for process in (relay, echo):
        process.terminate()
        process.join()


# -- calls ------------------------------------------------------------------------------------------------------------


def measure_calls(rounds: int) -> None:
    """Print what a small call takes, by way of a queue and directly."""
    with_queue = {"direct call": echo_direct.remote, "job": echo_job.remote}
    for call in with_queue.values():
        call(1)
    times = in_turns({name: partial(microseconds, partial(call, 1), 200) for name, call in with_queue.items()}, rounds)
    print("\nsmall call, one after the other                    us")
    for name, values in times.items():
        print(f"  {name:45} {statistics.median(values):7.0f}")


def measure_large(rounds: int, megabytes: int) -> bool:
    """Print what an array takes to a replica and back; whether the target is met."""
    array = np.random.default_rng(1).random(megabytes * 125_000)
    data = array.tobytes()
    with relayed(len(data)) as raw:
        candidates = {
            "raw relay (limit)": lambda: raw(data),
            "direct call": lambda: echo_direct.remote(array),
            "job": lambda: echo_job.remote(array),
        }
        if not (echo_direct.remote(array) == array).all():
            raise AssertionError("the array was changed")
        times = in_turns({name: partial(seconds, work) for name, work in candidates.items()}, rounds)
    print(f"\n{megabytes} MB there and back                            ms    x limit")
    limit = statistics.median(times["raw relay (limit)"])
    for name, values in times.items():
        print(f"  {name:45} {statistics.median(values) * 1e3:7.0f} {statistics.median(values) / limit:7.2f}")
    ratio = statistics.median(
        ours / theirs for ours, theirs in zip(times["direct call"], times["raw relay (limit)"], strict=True)
    )
    peer = seconds(lambda: unpickle(base64.b64decode(base64.b64encode(cloudpickle.dumps(array)))))
    print(f"  {'base64 and back, on its own, one way (peer)':45} {peer * 1e3:7.0f} {peer / limit:7.2f}")
    return verdict("direct call of a large array", ratio, RELAY_TARGET, "x the raw relay, round by round")


def seconds(work: Callable[[], object]) -> float:
    """The time of one run."""
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def in_turns(candidates: dict[str, Callable[[], float]], rounds: int) -> dict[str, list[float]]:
    """Every candidate once in each round, after one that does not count."""
    times: dict[str, list[float]] = {name: [] for name in candidates}
    for number in range(rounds + 1):
        for name, measure in candidates.items():
            taken = measure()
            if number:
                times[name].append(taken)
    return times


def verdict(what: str, figure: float, target: float, unit: str) -> bool:
    """Print whether a target is met."""
    met = figure <= target
    print(f"  {'met' if met else 'MISSED'}: {what}: {figure:.1f} {unit}, at most {target:g}")
    return met


def served() -> list[Served]:
    """The two endpoints of this file."""
    entries = [
        FunctionEntry("echo_job", Path(__file__).name, "echo_job", FunctionKind.FUNCTION),
        FunctionEntry(
            "echo_direct", Path(__file__).name, "echo_direct", FunctionKind.FUNCTION, route=echo_direct.route
        ),
    ]
    root = Path(__file__).resolve().parent
    return [Served("jobs", "jobs", root, entries[:1]), Served("direct", "http", root, entries[1:])]


def main(arguments: Sequence[str]) -> int:
    """Measure; 0 when all targets are met."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--megabytes", type=int, default=100)
    options = parser.parse_args(arguments)
    met = measure_codecs(options.rounds)
    with tempfile.TemporaryDirectory(prefix="fc") as folder, standing(Path(folder), served(), KEY) as stand:
        os.environ["FLASHCORE_GATEWAY_URL"] = stand.url
        os.environ[sealed.KEY_VARIABLE] = KEY
        measure_calls(options.rounds)
        met &= measure_large(options.rounds, options.megabytes)
    return 0 if met else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
