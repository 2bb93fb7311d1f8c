"""The strategy and the gate do what any strategy and any gate have to do."""

from flashcore.hookspecs.gates import Gate
from flashcore.hookspecs.strategies import Strategy
from flashcore.testing.gate_kit import GateKit
from flashcore.testing.strategy_kit import StrategyKit
from flashcore_canary import Analysis, Canary
from flashcore_canary.analysis import AnalysisGate
from flashcore_canary.strategy import CanaryStrategy


class TestBesideTheWhole(StrategyKit):
    """With an old side that stays as it is."""

    def strategy(self) -> Strategy:
        """As it is declared by default."""
        return CanaryStrategy(Canary())


class TestSharedReplicas(StrategyKit):
    """With one replica more."""

    def strategy(self) -> Strategy:
        """Where the old side shrinks."""
        return CanaryStrategy(Canary(weights=(10, 41), max_surge=1))


class TestNothingToSpare(StrategyKit):
    """With as many replicas as there were."""

    def strategy(self) -> Strategy:
        """Where one replica may be missing."""
        return CanaryStrategy(Canary(weights=(50,), max_surge=0))


class TestAnalysis(GateKit):
    """Without an end to its patience."""

    def gate(self) -> Gate:
        """As it is declared by default."""
        return AnalysisGate(Analysis())


class TestImpatientAnalysis(GateKit):
    """With a verdict after a minute."""

    def gate(self) -> Gate:
        """Where nothing to be seen is a failure."""
        return AnalysisGate(Analysis(patience=60, if_unsure="fail"))


class TestWatchingAnalysis(GateKit):
    """One that stops nothing."""

    def gate(self) -> Gate:
        """Where every finding is a note."""
        return AnalysisGate(Analysis(dry_run=True))
