"""`flashcore lock`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import product
from pathlib import Path

import click

from flashcore.build.examine import Examined, examine
from flashcore.build.lock import LOCK_FILE, Lock, Locked, read_lock, write_lock
from flashcore.build.needs import requirements_of
from flashcore.build.options import Target, target
from flashcore.build.pins import resolve
from flashcore.build.problems import Problems
from flashcore.build.syntax import minor_version
from flashcore.build.tree import walk
from flashcore.cli import output
from flashcore.cli.building import registry_of
from flashcore.cli.common import Invocation, command, project_at
from flashcore.registry.registry import Registry


@click.command()
@click.argument("directory", type=click.Path(path_type=Path, exists=True, file_okay=False), required=False)
@click.option("--platform", "platforms", multiple=True, metavar="P", help="Platform to lock for; may be repeated.")
@click.option("--python-version", "versions", multiple=True, metavar="X", help="Python to lock for; may be repeated.")
@click.option("--check", is_flag=True, help="Write nothing; exit with 1 where the lock lacks something.")
@command
def lock(
    invocation: Invocation,
    directory: Path | None,
    platforms: tuple[str, ...],
    versions: tuple[str, ...],
    check: bool,  # noqa: FBT001 - click names it
) -> None:
    """Write flashcore.lock: version and hashes of each package that the endpoints' dependencies stand for.

    Without options for the targets that the lock has already, or for linux-amd64 and the Python that runs this.
    """
    project = invocation.project() if directory is None else project_at(directory.resolve(), invocation)
    known = read_lock(project.root)
    with registry_of(project) as registry:
        problems = Problems()
        endpoints = examine(walk(project.root, problems), registry, problems).endpoints
        wanted = sorted(set(_wanted(endpoints, _targets(platforms, versions, known), registry)))
    if check:
        _check(wanted, known)
        return
    made = Lock(tuple(_locked(one) for one in wanted))
    write_lock(project.root, made)
    if invocation.as_json:
        output.show_json(made)
    else:
        _show(made, known)


def _targets(platforms: Iterable[str], versions: Iterable[str], known: Lock | None) -> list[Target]:
    here = minor_version()
    pairs = product(platforms or (None,), versions or (None,))
    named = [target(platform, version, here=here) for platform, version in pairs]
    if platforms or versions or known is None or not known.sets:
        return named
    return sorted({one.target for one in known.sets})


def _wanted(endpoints: Iterable[Examined], targets: list[Target], registry: Registry) -> Iterator[Locked]:
    for endpoint in endpoints:
        requirements = requirements_of(endpoint.declaration, endpoint.resource, registry)
        for one in targets if requirements else ():
            python = endpoint.declaration.template.python_version or one.python
            yield Locked(requirements, one.platform, python)


def _locked(one: Locked) -> Locked:
    output.say(f"resolving {', '.join(one.requirements)} for {one.target}")
    return Locked(one.requirements, one.platform, one.python, resolve(one.requirements, one.target))


def _check(wanted: Iterable[Locked], known: Lock | None) -> None:
    for one in wanted:
        (known or Lock(())).pins(one.requirements, one.target)
    output.say(f"{LOCK_FILE} has all that the endpoints need")


def _show(made: Lock, known: Lock | None) -> None:
    before = _versions(known)
    after = _versions(made)
    for name in sorted({*before, *after}):
        old, new = before.get(name), after.get(name)
        if old != new:
            output.say(f"  {name}: {old or 'new'} -> {new or 'gone'}")
    output.say(f"{LOCK_FILE}: {len(after)} packages for {', '.join(sorted({str(one.target) for one in made.sets}))}")


def _versions(lock: Lock | None) -> dict[str, str]:
    found: dict[str, set[str]] = {}
    for one in lock.sets if lock is not None else ():
        for pin in one.package:
            found.setdefault(pin.name, set()).add(pin.version)
    return {name: ", ".join(sorted(versions)) for name, versions in found.items()}
