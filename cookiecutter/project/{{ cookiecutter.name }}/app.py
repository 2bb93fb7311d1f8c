"""The endpoints of {{ cookiecutter.name }}: what is decorated here is served by `flashcore deploy`."""

from collections import Counter

from flashcore import {% if cookiecutter.http %}LoadBalancedEndpoint, {% endif %}QueueEndpoint

# Calls of this endpoint are jobs: kept until they are done, taken by replicas as they have room.
jobs = QueueEndpoint("jobs", replicas=1, max_concurrency=4)
{% if cookiecutter.http %}

# Calls of this one are HTTP requests, each answered by a replica at once.
web = LoadBalancedEndpoint("web", replicas=2)
{% endif %}


@jobs.function
def greet(name: str = "world") -> str:
    """Greet somebody."""
    return f"Hello, {name}!"


@jobs.function
async def count_words(text: str) -> dict[str, int]:
    """How often each word occurs, without regard to case."""
    return dict(Counter(text.lower().split()))


@jobs.function
class Tally:
    """A number that a replica remembers for as long as it lives."""

    def __init__(self, start: int = 0) -> None:
        self.total = start

    def add(self, amount: int = 1) -> int:
        """Add to the number; returns what it is then."""
        self.total += amount
        return self.total
{% if cookiecutter.http %}


@web.get("/hello/{name}")
async def hello(name: str, *, loud: bool = False) -> dict[str, str]:
    """Greet somebody over HTTP: GET /web/hello/Ada?loud=true."""
    greeting = f"Hello, {name}!"
    return {"greeting": greeting.upper() if loud else greeting}


@web.post("/words")
async def words(text: str) -> dict[str, int]:
    """Let the other endpoint count: POST /web/words?text=..."""
    return await count_words(text)
{% endif %}
