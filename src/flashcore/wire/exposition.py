"""Numbers in Prometheus' text form (exposition format 0.0.4), written without any library."""

from __future__ import annotations

from collections.abc import Mapping
from math import isinf

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

_ESCAPES = str.maketrans({"\\": r"\\", '"': r"\"", "\n": r"\n"})


class Exposition:
    """Collects families of samples; each family has one name, one kind and one sentence of help."""

    def __init__(self) -> None:
        self._lines: list[str] = []

    def gauge(self, name: str, help_text: str, samples: Mapping[tuple[tuple[str, str], ...], float]) -> None:
        """Values that go up and down, by labels."""
        self._family(name, "gauge", help_text, samples)

    def counter(self, name: str, help_text: str, samples: Mapping[tuple[tuple[str, str], ...], float]) -> None:
        """Values that only grow, by labels; the name ends in _total."""
        self._family(name, "counter", help_text, samples)

    def histogram(
        self,
        name: str,
        help_text: str,
        samples: Mapping[tuple[tuple[str, str], ...], tuple[Mapping[str, int], float]],
    ) -> None:
        """By labels: counts up to each bound, cumulative, `+Inf` last; and the sum of all values."""
        self._head(name, "histogram", help_text)
        for labels, (buckets, total) in samples.items():
            count = 0
            for bound, count in buckets.items():
                self._sample(f"{name}_bucket", (*labels, ("le", bound)), count)
            self._sample(f"{name}_sum", labels, total)
            self._sample(f"{name}_count", labels, count)

    def text(self) -> bytes:
        """All of it."""
        return "".join(self._lines).encode()

    def _family(
        self, name: str, kind: str, help_text: str, samples: Mapping[tuple[tuple[str, str], ...], float]
    ) -> None:
        self._head(name, kind, help_text)
        for labels, value in samples.items():
            self._sample(name, labels, value)

    def _head(self, name: str, kind: str, help_text: str) -> None:
        self._lines.append(f"# HELP {name} {help_text}\n# TYPE {name} {kind}\n")

    def _sample(self, name: str, labels: tuple[tuple[str, str], ...], value: float) -> None:
        shown = ",".join(f'{label}="{text.translate(_ESCAPES)}"' for label, text in labels)
        number = ("+Inf" if value > 0 else "-Inf") if isinf(value) else f"{value:.10g}"
        self._lines.append(f"{name}{{{shown}}} {number}\n" if shown else f"{name} {number}\n")


def labels(**values: str) -> tuple[tuple[str, str], ...]:
    """Labels of a sample, in the order given."""
    return tuple(values.items())
