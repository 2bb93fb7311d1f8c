"""Lines at the bottom of a terminal that are drawn again in place."""

import io
import re
from collections.abc import Mapping
from typing import Any

import click

from flashcore.cli.pane import Pane, cut
from flashcore.cli.picture import picture, state_of


def seen(written: str) -> list[str]:
    """What a terminal shows after that: `ESC[nA` goes up n lines, `ESC[0J` clears what is below."""
    screen: list[str] = [""]
    for piece in re.split(r"(\x1b\[\d+A|\x1b\[0J|\n)", written):
        if piece == "\n":
            screen.append("")
        elif up := re.fullmatch(r"\x1b\[(\d+)A", piece):
            row = len(screen) - 1 - int(up[1])
            below, screen = screen[row:], screen[: row + 1]
            assert below
            screen[-1] = ""
        elif piece != "\x1b[0J":
            screen[-1] += piece
    return screen[:-1] if screen[-1] == "" else screen


def test_what_is_told_stays_above_what_is_drawn_again() -> None:
    """In the order in which it was told, and the picture is there once."""
    stream = io.StringIO()
    pane = Pane(stream)

    pane.show(["one", "two"])
    pane.tell("first news")
    pane.show(["three"])
    pane.tell("more news")

    assert seen(stream.getvalue()) == ["first news", "more news", "three"]


def test_a_pane_that_is_left_leaves_nothing() -> None:
    """What comes next begins where it was; and leaving twice rubs out no line of others."""
    stream = io.StringIO()
    pane = Pane(stream)
    pane.tell("news")
    pane.show(["one", "two"])

    pane.leave()
    pane.leave()

    assert seen(stream.getvalue()) == ["news"]


def test_the_same_picture_is_drawn_once() -> None:
    """A terminal that nothing happens on does not flicker."""
    stream = io.StringIO()
    pane = Pane(stream)
    pane.show(["one"])
    before = stream.getvalue()

    pane.show(["one"])

    assert stream.getvalue() == before


def test_long_lines_are_cut_without_half_a_colour() -> None:
    """One that wrapped could not be counted."""
    assert cut(click.style("abcdef", fg="red"), 6) == click.style("abcdef", fg="red")
    assert cut(click.style("abcdefg", fg="red"), 6) == "abcde…"


def replica(**fields: Any) -> Mapping[str, Any]:
    """A ready replica, but for what is given."""
    return {"phase": "running", "health": "healthy", "cordoned": False, "failed": False, "revision": "a" * 64, **fields}


def test_each_state_of_a_replica_has_a_mark() -> None:
    """An operator's cordon counts only for what could serve."""
    assert state_of(replica()) == "ready"
    assert state_of(replica(cordoned=True)) == "cordoned"
    assert state_of(replica(health="unhealthy", cordoned=True)) == "running"
    assert state_of(replica(health="failed")) == "failed"
    assert state_of(replica(phase="draining", failed=True)) == "failed"
    assert state_of(replica(phase="warming_up", health="not_checked")) == "warming_up"
    assert state_of(replica(phase="terminated")) == "draining"


def test_a_picture_says_what_why_and_when() -> None:
    """A lane for each side, what is waited for with what stands in the way, and the next look."""
    side = {"role": "stable", "revision": "a" * 64, "share": 100}
    target = {"role": "target", "revision": "b" * 64, "share": 0}
    one = {
        "endpoint": "web",
        "status": "awaiting_promotion",
        "reason": "promotion waits for a person",
        "goal": 1,
        "ready": 1,
        "rollout": {"generation": 2, "target": "b" * 64, "state": "waiting", "step": "preview"},
        "sides": [side, target],
        "replicas": [replica(), replica(revision="b" * 64, phase="warming_up", health="not_checked")],
        "now": 0.0,
        "next_wake": 5.0,
        "waits": [{"code": "gate", "blocked_by": "gate 'manual'", "reason": "it waits", "until": 3600.0}],
    }

    lines = [click.unstyle(line) for line in picture(one)]

    assert lines == [
        "web  awaiting promotion, 1/1 ready, rollout 2 to bbbbbbbbbbbb, step preview",
        "  stable     aaaaaaaaaaaa  ●  100 %",
        "  target     bbbbbbbbbbbb  ◐  0 %",
        "  why   promotion waits for a person",
        "  waits gate (gate 'manual', at 01:00:00 UTC (in 60 min 0 s)): it waits",
        "  next  looks again at 00:00:05 UTC (in 5.0 s)",
    ]
