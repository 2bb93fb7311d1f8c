"""Whose turn it is on the connection of a database, whatever interrupts the event loop."""

import subprocess
import sys

INTERRUPTED = """
import signal
from concurrent.futures import ThreadPoolExecutor
from flashcore.builtin.sqlite.turns import Turns

MOMENTS = 2000
armed = False

def interrupt(number, frame):
    global armed
    if armed:
        armed = False
        raise KeyboardInterrupt

def look(turns, seconds):
    global armed
    armed = True
    try:
        signal.setitimer(signal.ITIMER_REAL, seconds)
        while True:
            turns.take(60.0, int)
    except KeyboardInterrupt:
        return

def hold(turns):
    with turns.held():
        for _ in range(20):
            turns.give_way()

signal.signal(signal.SIGALRM, interrupt)
turns = Turns()
with ThreadPoolExecutor(1) as thread:
    for moment in range(MOMENTS):
        held = thread.submit(hold, turns)
        look(turns, moment % 100 * 1e-6 + 1e-6)
        held.result()
        thread.submit(hold, turns).result()
        turns.take(60.0, int)
print("all turns were given back")
"""


def test_a_turn_is_given_back_whenever_it_is_interrupted() -> None:
    """By a signal, in the step that it happens to be in: the thread may work afterwards, and the loop may look."""
    told = subprocess.run([sys.executable, "-c", INTERRUPTED], capture_output=True, timeout=100, text=True, check=False)

    assert (told.stdout, told.stderr) == ("all turns were given back\n", "")
