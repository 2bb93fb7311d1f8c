"""Memory that is used again costs no page faults."""

import subprocess
import sys

import pytest

ROUNDS = 200
SCRIPT = """
import resource, sys
from flashcore.gateway.buffers import keep_buffers

def faults_of_bodies():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range({rounds}):
        read = bytes(262_144)
        taken = read[8:-2]
        framed = b"%x\\r\\n%b\\r\\n" % (len(taken), taken)
        del read, taken, framed
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

if sys.argv[1] == "kept":
    keep_buffers()
faults_of_bodies()
print(faults_of_bodies())
"""


def faults(how: str) -> float:
    """Page faults of one piece of a chunked body on its way, in a process of its own."""
    script = SCRIPT.format(rounds=ROUNDS)
    ran = subprocess.run([sys.executable, "-c", script, how], capture_output=True, text=True, check=True)
    return int(ran.stdout) / ROUNDS


@pytest.mark.skipif(sys.platform != "linux", reason="only glibc is told")
def test_pieces_of_bodies_are_put_where_the_last_ones_were() -> None:
    """Without a word to the allocator each piece has its pages made anew."""
    assert faults("kept") < 1
