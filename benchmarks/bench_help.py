"""What `flashcore --help` costs over bare Python with fifty plugins, three of them broken, five heavy, survey kept.

CPU time of the whole process, the least of several runs: what else the machine does only ever adds to it. The budget is
100 ms. Beside it: the same without any plugin, the first run after an installation, and registering 50 plugins of 120
attributes each in one process (budget 30 ms).
"""

from __future__ import annotations

import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

RUNS = 15
PLUGINS = 50


def main() -> None:
    """Measure, print, and end with 1 when a budget is exceeded."""
    with tempfile.TemporaryDirectory() as scratch:
        site, cache = Path(scratch, "site"), Path(scratch, "cache")
        environment = {**os.environ, "PYTHONPATH": str(site), "XDG_CACHE_HOME": str(cache), "NO_COLOR": "1"}
        site.mkdir()
        bare = least(["-c", "pass"], environment)
        alone = least(["-m", "flashcore", "--help"], environment) - bare
        for number in range(PLUGINS):
            install(site, number)
        first = cost(["-m", "flashcore", "--help"], environment) - bare
        time.sleep(0.1)  # what was written just now is not kept
        cost(["-m", "flashcore", "--help"], environment)
        crowded = least(["-m", "flashcore", "--help"], environment) - bare
        registering = registration(site)
    print(f"bare Python                                  {bare:6.1f} ms CPU")
    print(f"--help, no plugins, over bare Python         {alone:6.1f} ms")
    print(f"--help, {PLUGINS} plugins, over bare Python         {crowded:6.1f} ms   (budget 100)")
    print(f"--help, first after an installation          {first:6.1f} ms")
    print(f"registering {PLUGINS} plugins of 120 attributes     {registering:6.1f} ms   (budget 30)")
    if crowded > 100 or registering > 30:
        raise SystemExit(1)


def install(site: Path, number: int) -> None:
    """A plugin with a command and 120 attributes, broken or heavy by its number."""
    package = site / f"flashcore_plugin{number}"
    package.mkdir()
    (package / "__init__.py").touch()
    lines = [
        "from flashcore.plugin import Part, hookimpl",
        "raise RuntimeError" if number % 17 == 0 else "",
        "import fastapi" if number % 10 == 3 else "",
        "@hookimpl",
        "def flashcore_commands():",
        f"    return {{'do_{number}': Part('{package.name}.command:command', 'Do number {number}')}}",
        *(f"def helper_{n}(): pass" for n in range(120)),
    ]
    (package / "hooks.py").write_text("\n".join(lines))
    info = site / f"{package.name}-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Name: flashcore-plugin{number}\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(f"[flashcore]\nplugin{number} = {package.name}.hooks\n")


def least(arguments: list[str], environment: dict[str, str]) -> float:
    """The least cost of several runs."""
    return min(cost(arguments, environment) for _ in range(RUNS))


def cost(arguments: list[str], environment: dict[str, str]) -> float:
    """CPU milliseconds of a run of this interpreter and of all that it started."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([sys.executable, *arguments], env=environment, stdout=subprocess.DEVNULL, check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return (after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime) * 1000


def registration(site: Path) -> float:
    """CPU milliseconds of checking and registering hooks modules that are imported already, the least of several."""
    from flashcore.hookspecs import EXTENSION_POINTS
    from flashcore.registry.hook_table import HookTable
    from flashcore.registry.loader import load
    from flashcore.registry.policy import Policy
    from flashcore.registry.scan import scan

    sys.path.insert(0, str(site))
    loaded = load(scan([str(site)]), Policy(), EXTENSION_POINTS)
    origins = [(report.origin, loaded.modules.get(report.origin.key)) for report in loaded.reports]
    costs = []
    for _ in range(RUNS):
        table = HookTable(EXTENSION_POINTS.values())
        started = time.process_time()
        for origin, module in origins:
            if module is not None:
                table.admit(origin, module)
        costs.append((time.process_time() - started) * 1000)
    return min(costs)


if __name__ == "__main__":
    main()
