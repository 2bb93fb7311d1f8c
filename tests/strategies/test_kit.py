"""The built-in strategies and gates keep the same contract as anybody's."""

from flashcore.builtin.blue_green import BlueGreenStrategy
from flashcore.builtin.delay import DelayGate
from flashcore.builtin.manual import ManualGate
from flashcore.builtin.recreate import RecreateStrategy
from flashcore.builtin.rolling import RollingStrategy
from flashcore.hookspecs.gates import Gate
from flashcore.hookspecs.strategies import Strategy
from flashcore.model.parts import BlueGreen, Delay, Manual, Recreate, Rolling
from flashcore.testing.gate_kit import GateKit
from flashcore.testing.strategy_kit import StrategyKit


class TestRolling(StrategyKit):
    """With its defaults: a quarter more, a quarter less."""

    def strategy(self) -> Strategy:
        """A fresh one."""
        return RollingStrategy(Rolling())


class TestRollingBySurge(StrategyKit):
    """Never fewer than wanted."""

    def strategy(self) -> Strategy:
        """A fresh one."""
        return RollingStrategy(Rolling(max_surge=1, max_unavailable=0))


class TestRollingInPlace(StrategyKit):
    """Never more than wanted."""

    def strategy(self) -> Strategy:
        """A fresh one."""
        return RollingStrategy(Rolling(max_surge=0, max_unavailable=1))


class TestBlueGreen(StrategyKit):
    """With every option that there is."""

    def strategy(self) -> Strategy:
        """A fresh one."""
        return BlueGreenStrategy(BlueGreen(auto_promote=False, promote_delay=30, keep_old=60))


class TestRecreate(StrategyKit):
    """The gap is what it is for."""

    def strategy(self) -> Strategy:
        """A fresh one."""
        return RecreateStrategy(Recreate())


class TestManual(GateKit):
    """Passes when somebody says so."""

    def gate(self) -> Gate:
        """A fresh one."""
        return ManualGate(Manual())


class TestDelay(GateKit):
    """Passes in time."""

    def gate(self) -> Gate:
        """A fresh one."""
        return DelayGate(Delay(60))
