"""The quickstart: three endpoints in one file. `flashcore deploy` in this folder serves them on this machine."""

from collections import Counter

from flashcore import LoadBalancedEndpoint, QueueEndpoint

VERSION = 1

# Calls of a queue endpoint are jobs: kept until they are done, taken by replicas as they have room.
texts = QueueEndpoint("texts", replicas=2, max_concurrency=4)
memory = QueueEndpoint("memory", replicas=1)

# Calls of a load-balanced one are HTTP requests, each answered by a replica at once.
web = LoadBalancedEndpoint("web", replicas=2)


@texts.function
def greet(name: str = "world") -> str:
    """A plain function."""
    return f"Hello, {name}! This is version {VERSION}."


@texts.function
async def count_words(text: str) -> dict[str, int]:
    """An async function: several calls share one replica."""
    return dict(Counter(text.lower().split()))


@texts.function
def divide(dividend: float, divisor: float) -> float:
    """A function that raises when it is asked to do what cannot be done."""
    return dividend / divisor


@memory.function
class Notebook:
    """A class: its instance lives in the replica and remembers what it was told."""

    def __init__(self, title: str = "notes") -> None:
        self.title = title
        self.lines: list[str] = []

    def write(self, line: str) -> int:
        """Add a line; returns how many there are."""
        self.lines.append(line)
        return len(self.lines)

    def read(self) -> str:
        """All that was written."""
        return "\n".join([self.title, *self.lines])


@web.get("/items/{item_id}")
def item(item_id: int, *, verbose: bool = False) -> dict[str, object]:
    """A route with a parameter in its path and one in the query."""
    shown: dict[str, object] = {"item": item_id, "version": VERSION}
    return {**shown, "square": item_id**2} if verbose else shown


@web.get("/hello/{name}")
async def hello(name: str) -> dict[str, str]:
    """A route that calls a function of another endpoint."""
    return {"greeting": await greet(name)}
