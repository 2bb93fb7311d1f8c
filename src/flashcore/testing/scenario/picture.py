"""A run, drawn as SVG: for each endpoint its replicas, its traffic and its requests over time, events marked."""

from __future__ import annotations

import html
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

from flashcore.testing.scenario.outcome import Film
from flashcore.testing.scenario.recording import LoadSample, Sample, SideSample

WIDTH, LEFT, RIGHT = 1000.0, 64.0, 150.0
REPLICAS_HIGH, TRAFFIC_HIGH, LOAD_HIGH = 150.0, 70.0, 70.0
GAP, TITLE, AXIS = 22.0, 34.0, 40.0
_ROW, _LETTER = 14.0, 6.2
"""The height of a line of words, the width of a letter."""
COLOURS = ("#2f6fb2", "#e08214", "#3a9a5b", "#b2405b", "#7a5ab5", "#8c6d31", "#3aa6a6", "#777777")
"""One for each version, in their order."""
_INK, _FAINT, _GRID = "#222222", "#777777", "#e4e4e4"
_ERRORS, _FAILED = "#e0a100", "#c0143c"
_STYLE = "font-family:system-ui,-apple-system,'DejaVu Sans',sans-serif;font-size:12px"
_BEFORE, _AFTER = 0.03, 0.08
"""Shares of the run's span that are shown before the first and after the last thing that happens."""


@dataclass(frozen=True, slots=True)
class _Frame:
    """One plot: where it is on the page, and which times and values it shows."""

    top: float
    height: float
    begin: float
    end: float
    most: float

    def x(self, when: float) -> float:
        """From a time to a place."""
        share = (min(max(when, self.begin), self.end) - self.begin) / (self.end - self.begin)
        return LEFT + share * (WIDTH - LEFT - RIGHT)

    def y(self, value: float) -> float:
        """From a value to a place."""
        return self.top + self.height * (1 - value / self.most)

    @property
    def bottom(self) -> float:
        """The line of 0."""
        return self.top + self.height


def draw(film: Film) -> str:
    """The picture, as the text of an SVG file."""
    begin, end = _span(film)
    parts: list[str] = []
    top = TITLE + GAP
    for endpoint, samples in sorted(film.samples.items()):
        marks = tuple((when, what) for when, where, what in film.marks if where in ("", endpoint))
        plot = _EndpointPlot(endpoint, samples, film.loads.get(endpoint, ()), marks, begin, end)
        parts += plot.draw(top)
        top += plot.height + GAP
    title = _text(LEFT, 24, f"{film.scenario} (seed {film.seed})", "font-size:16px;font-weight:600")
    size = f'width="{WIDTH:g}" height="{top:g}"'
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH:g} {top:g}" {size} style="{_STYLE}">'
    return "\n".join([head, f'<rect {size} fill="#ffffff"/>', title, *parts, "</svg>", ""])


def _span(film: Film) -> tuple[float, float]:
    """What is shown: from a little before the first thing that happened to a little after the last."""
    times = [sample.at for samples in film.samples.values() for sample in samples]
    times += [when for when, _, _ in film.marks]
    first, last = min(times, default=0.0), max(times, default=1.0)
    room = max(1.0, last - first)
    return first - _BEFORE * room, min(film.seconds, last + _AFTER * room)


@dataclass(frozen=True, slots=True)
class _EndpointPlot:
    """All plots of one endpoint, one below the other."""

    name: str
    samples: Sequence[Sample]
    loads: Sequence[LoadSample]
    marks: Sequence[tuple[float, str]]
    begin: float
    end: float

    @property
    def height(self) -> float:
        """How high all of it is."""
        return self._marks_high + REPLICAS_HIGH + GAP + TRAFFIC_HIGH + (GAP + LOAD_HIGH if self.loads else 0) + AXIS

    @property
    def _marks_high(self) -> float:
        return 26.0 + _ROW * (1 + max(self._rows(), default=0))

    def _rows(self) -> list[int]:
        """In which row above the plot each mark's words stand, so that none stand on each other."""
        frame, free, rows = _Frame(0, 1, self.begin, self.end, 1.0), [0.0], list[int]()
        for when, what in self.marks:
            x = frame.x(when)
            row = next((row for row, until in enumerate(free) if until <= x), len(free))
            free[row:] = [x + _LETTER * len(_short(what)) + 10, *free[row + 1 :]]
            rows.append(row)
        return rows

    def draw(self, top: float) -> Iterator[str]:
        """The elements."""
        top += self._marks_high
        most = max([sample.live for sample in self.samples] + [sample.goal for sample in self.samples] + [1])
        replicas = _Frame(top, REPLICAS_HIGH, self.begin, self.end, most * 1.05)
        traffic = _Frame(replicas.bottom + GAP, TRAFFIC_HIGH, self.begin, self.end, 100.0)
        last = traffic
        yield from self._replicas(replicas)
        yield from self._traffic(traffic)
        if self.loads:
            last = _Frame(traffic.bottom + GAP, LOAD_HIGH, self.begin, self.end, _most_requests(self.loads) * 1.1)
            yield from self._requests(last)
        yield from _time_axis(last)
        yield from self._marks(top, last.bottom)
        yield from self._legend(replicas)

    def _replicas(self, frame: _Frame) -> Iterator[str]:
        yield _text(LEFT, frame.top - self._marks_high + 2, self.name, "font-size:14px;font-weight:600")
        yield from _value_axis(frame, "replicas", _whole_ticks(frame.most))
        for version in self._versions():
            yield _area(frame, self._stack(version, lambda side: float(side.live)), self._colour(version), 0.28)
        for version in self._versions():
            yield _area(
                frame, self._stack(version, lambda side: float(side.ready), below="live"), self._colour(version), 0.9
            )
        yield _steps(frame, [(one.at, float(one.goal)) for one in self.samples], _INK, dashes="5 4")

    def _traffic(self, frame: _Frame) -> Iterator[str]:
        yield from _value_axis(frame, "traffic %", (0, 50, 100))
        for version in self._versions():
            yield _area(frame, self._stack(version, lambda side: 100 * side.share), self._colour(version), 0.75)

    def _requests(self, frame: _Frame) -> Iterator[str]:
        yield from _value_axis(frame, "requests/s", (0, round(frame.most / 1.1)))
        yield _line(frame, _rates(self.loads, lambda load: load.offered), _INK)
        yield _line(frame, _rates(self.loads, lambda load: load.errors), _ERRORS)
        yield _line(frame, _rates(self.loads, lambda load: load.failed), _FAILED)

    def _stack(
        self, version: int, value: Callable[[SideSample], float], below: str = ""
    ) -> list[tuple[float, float, float]]:
        """For each sample when, from where, to where; the versions stand on each other in their order."""
        found: list[tuple[float, float, float]] = []
        for sample in self.samples:
            low = sum(
                float(side.live) if below == "live" else value(side) for side in sample.sides if side.version < version
            )
            own = sum(value(side) for side in sample.sides if side.version == version)
            found.append((sample.at, low, low + own))
        return found

    def _versions(self) -> list[int]:
        return sorted({side.version for sample in self.samples for side in sample.sides})

    def _colour(self, version: int) -> str:
        return COLOURS[(version - 1) % len(COLOURS)]

    def _marks(self, top: float, bottom: float) -> Iterator[str]:
        frame = _Frame(top, bottom - top, self.begin, self.end, 1.0)
        for (when, what), number in zip(self.marks, self._rows(), strict=True):
            x, row = frame.x(when), top - 8 - _ROW * number
            yield (
                f'<line x1="{x:.1f}" x2="{x:.1f}" y1="{row + 3:.1f}" y2="{bottom:.1f}" stroke="{_INK}"'
                ' stroke-width="0.8" stroke-dasharray="2 3"/>'
            )
            yield _text(x + 3, row, _short(what), f"fill:{_INK};font-size:11px")

    def _legend(self, frame: _Frame) -> Iterator[str]:
        x, y = WIDTH - RIGHT + 14, frame.top + 6
        for version in self._versions():
            yield f'<rect x="{x:g}" y="{y:.1f}" width="12" height="12" fill="{self._colour(version)}" opacity="0.9"/>'
            yield _text(x + 18, y + 10, f"v{version} ready", "")
            y += 18
        yield f'<rect x="{x:g}" y="{y:.1f}" width="12" height="12" fill="{_FAINT}" opacity="0.28"/>'
        yield _text(x + 18, y + 10, "not ready", "")
        yield _key(x, y + 24, _INK, 'stroke-dasharray="5 4"')
        yield _text(x + 18, y + 28, "wanted", "")
        if self.loads:
            y = frame.bottom + 2 * GAP + TRAFFIC_HIGH + 12
            for colour, name in ((_INK, "offered"), (_ERRORS, "app's errors"), (_FAILED, "failed")):
                yield _key(x, y, colour, 'stroke-width="2"')
                yield _text(x + 18, y + 4, name, "")
                y += 18


def _key(x: float, y: float, colour: str, more: str) -> str:
    return f'<line x1="{x:g}" x2="{x + 12:g}" y1="{y:.1f}" y2="{y:.1f}" stroke="{colour}" {more}/>'


def _rates(loads: Sequence[LoadSample], value: Callable[[LoadSample], float]) -> list[tuple[float, float]]:
    return [
        (later.at, (value(later) - value(sooner)) / (later.at - sooner.at))
        for sooner, later in pairwise(loads)
        if later.at > sooner.at
    ]


def _most_requests(loads: Sequence[LoadSample]) -> float:
    return max([1.0, *(rate for _, rate in _rates(loads, lambda load: load.offered))])


def _area(frame: _Frame, stack: Sequence[tuple[float, float, float]], colour: str, opacity: float) -> str:
    upper, lower = (
        _corners(frame, [(at, high) for at, _, high in stack]),
        _corners(frame, [(at, low) for at, low, _ in stack]),
    )
    points = " ".join(f"{x:.1f},{y:.1f}" for x, y in [*upper, *reversed(lower)])
    return f'<polygon points="{points}" fill="{colour}" opacity="{opacity:g}"/>'


def _steps(frame: _Frame, values: Sequence[tuple[float, float]], colour: str, dashes: str) -> str:
    points = " ".join(f"{x:.1f},{y:.1f}" for x, y in _corners(frame, values))
    return f'<polyline points="{points}" fill="none" stroke="{colour}" stroke-width="1.4" stroke-dasharray="{dashes}"/>'


def _line(frame: _Frame, values: Sequence[tuple[float, float]], colour: str) -> str:
    shown = [(at, value) for at, value in values if frame.begin <= at <= frame.end]
    points = " ".join(f"{frame.x(at):.1f},{frame.y(max(0.0, value)):.1f}" for at, value in shown)
    return f'<polyline points="{points}" fill="none" stroke="{colour}" stroke-width="1.6"/>'


def _corners(frame: _Frame, values: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    """A line that keeps each value until the next."""
    corners: list[tuple[float, float]] = []
    for i, (at, value) in enumerate(values):
        until = values[i + 1][0] if i + 1 < len(values) else frame.end
        corners += [(frame.x(at), frame.y(value)), (frame.x(until), frame.y(value))]
    return corners


def _value_axis(frame: _Frame, name: str, ticks: Sequence[int]) -> Iterator[str]:
    middle = frame.top + frame.height / 2
    yield (
        f'<text x="16" y="{middle:.1f}" transform="rotate(-90 16 {middle:.1f})" text-anchor="middle"'
        f' fill="{_FAINT}">{name}</text>'
    )
    for tick in ticks:
        y = frame.y(tick)
        yield f'<line x1="{LEFT:g}" x2="{WIDTH - RIGHT:g}" y1="{y:.1f}" y2="{y:.1f}" stroke="{_GRID}"/>'
        yield _text(LEFT - 8, y + 4, str(tick), f"text-anchor:end;fill:{_FAINT}")


def _time_axis(frame: _Frame) -> Iterator[str]:
    step = _nice((frame.end - frame.begin) / 8)
    tick = math.ceil(frame.begin / step) * step
    while tick <= frame.end:
        x = frame.x(tick)
        yield f'<line x1="{x:.1f}" x2="{x:.1f}" y1="{frame.bottom:.1f}" y2="{frame.bottom + 5:.1f}" stroke="{_FAINT}"/>'
        yield _text(x, frame.bottom + 18, f"{tick:g} s", f"text-anchor:middle;fill:{_FAINT}")
        tick += step


def _whole_ticks(most: float) -> tuple[int, ...]:
    step = max(1, round(_nice(most / 5)))
    return tuple(range(0, int(most) + 1, step))


def _nice(value: float) -> float:
    """The next greater one of 1, 2, 5, 10, 20, ..."""
    power = 10.0 ** math.floor(math.log10(max(value, 1e-9)))
    return next(step * power for step in (1, 2, 5, 10) if step * power >= value)


def _short(text: str) -> str:
    return text if len(text) <= 44 else text[:43] + "…"  # what fits between two marks


def _text(x: float, y: float, text: str, style: str) -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" style="{style}">{html.escape(text)}</text>'
