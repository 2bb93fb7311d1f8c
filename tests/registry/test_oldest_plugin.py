"""A plugin that was written for contract 1 and that nobody will touch again still works."""

import hashlib
import sys
import zipfile
from pathlib import Path

import pytest
from tests.registry.conftest import Site

from flashcore.hookspecs.gates import Fail, GateView, Hold, Pass
from flashcore.hookspecs.routing import RoutedRequest
from flashcore.hookspecs.strategies import PROMOTION, Decision, Done, Failed, Progress, SideView, View, Wait
from flashcore.model.declaration import Template
from flashcore.model.deployment import Budget, by_capacity, percent
from flashcore.model.events import Event
from flashcore.model.names import Digest, EndpointName, RevisionId
from flashcore.model.parts import PartRef
from flashcore.model.revision import RevisionContent
from flashcore.registry.registry import Registry
from flashcore.registry.reports import State
from flashcore.testing.routing_kit import make_candidates
from flashcore.testing.scaler_kit import scale_view

FROZEN = "69120dbbbe82730f"
OLD, TARGET = RevisionId("0" * 64), RevisionId("1" * 64)


@pytest.fixture
def content(repository: Path) -> Path:
    """The folder that holds what is in the wheel."""
    return repository / "tests" / "data" / "oldest_plugin"


@pytest.fixture
def oldest(site: Site, content: Path, tmp_path: Path) -> Registry:
    """A registry with the plugin, installed from its wheel as an installer does it."""
    wheel = tmp_path / "flashcore_oldest-1.0-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as packed:
        for file in files(content):
            packed.write(file, file.relative_to(content))
    zipfile.ZipFile(wheel).extractall(site.folder)
    return site.registry()


def files(content: Path) -> list[Path]:
    """What is in the wheel."""
    return sorted(file for file in content.glob("flashcore_oldest*/*") if file.suffix != ".pyc" and file.is_file())


def side(revision: RevisionId, count: int) -> SideView:
    """A side of which all replicas are ready and serve."""
    return SideView(revision, count, count, count)


def view(old: int, target: int, passed: frozenset[str] = frozenset()) -> View:
    """A rollout to four replicas."""
    return View(4, 100.0, (side(OLD, old),), side(TARGET, target), by_capacity(), "half", 90.0, passed)


def test_the_plugin_is_as_it_was(content: Path) -> None:
    """Editing it until it works again would defeat its purpose."""
    digest = hashlib.sha256()
    for file in files(content):
        digest.update(file.relative_to(content).as_posix().encode() + b"\0" + file.read_bytes() + b"\0")

    assert digest.hexdigest()[:16] == FROZEN


def test_it_is_active_and_all_that_it_refers_to_resolves(oldest: Registry) -> None:
    """Without a note, too."""
    report = oldest.examine()[-1]

    assert str(report.origin) == "oldest (flashcore-oldest 1.0)"
    assert (report.state, report.reason, report.notes) == (State.ACTIVE, "", ())
    assert oldest.declared("flashcore_oldest:Halves") == ("strategies", "halves")


def test_its_strategy_decides(oldest: Registry) -> None:
    """Every outcome that contract 1 knows."""
    strategy = oldest.strategies.make(PartRef("halves", (30.0,), {"label": "half way"}))

    assert strategy.budget(4) == Budget(2, 5)
    assert strategy.decide(view(4, 0)) == Decision(2, 2, Progress(), by_capacity(), "first")
    assert strategy.decide(view(2, 2)) == Decision(2, 2, Wait("half way", 120.0, PROMOTION), percent(50), "half")
    assert strategy.decide(view(2, 2, frozenset({PROMOTION}))) == Decision(0, 4, Progress(), step="second")
    assert strategy.decide(view(0, 4, frozenset({PROMOTION}))) == Decision(0, 4, Done(1.0))
    assert strategy.decide(view(0, 9)) == Decision(0, 0, Failed("there are too many"))


@pytest.mark.parametrize(
    ("now", "verdict"),
    [(101.5, Pass()), (102.0, Hold("the second is even", 103.0)), (1.0, Fail("the clock went back"))],
)
def test_its_gate_gives_verdicts(oldest: Registry, now: float, verdict: object) -> None:
    """Pass, Hold and Fail."""
    target = side(TARGET, 2)
    asked = GateView(EndpointName("hello"), PROMOTION, now, 100.0, False, side(OLD, 2), target, None, None)

    assert oldest.gates.make(PartRef("odd_seconds")).verdict(asked) == verdict


def test_its_routing_policy_and_scaler_answer(oldest: Registry) -> None:
    """As declared without options."""
    candidates = make_candidates(3)
    policy = oldest.routing_policies.make(PartRef("last"))
    policy.changed(candidates)

    assert policy.choose(RoutedRequest("GET", "/", {}), candidates) is candidates[-1]
    assert oldest.scalers.make(PartRef("one_more")).desired(scale_view(3)) == 4


def test_its_hooks_are_called(oldest: Registry) -> None:
    """Observing and amending."""
    revision = RevisionContent(EndpointName("hello"), "queue", Template(), (), "h.py", Digest("0" * 64), "3.11")

    oldest.tell(Event("replica.ready", 1.0))
    oldest.close()

    assert sys.modules["flashcore_oldest.hooks"].HEARD == ["replica.ready"]
    assert oldest.observers.health()[0].delivered == 1
    assert oldest.amend_replica_env(revision, {"A": "1"}) == {"A": "1", "OLDEST": "hello"}
