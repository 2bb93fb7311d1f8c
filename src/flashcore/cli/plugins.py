"""`flashcore plugins`: what is installed, what state it is in, and whether it works."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import click

from flashcore.cli import output
from flashcore.model.errors import FlashcoreError, NotFound
from flashcore.model.layout import find_project
from flashcore.registry.index import Setting, setting_of_process, survey
from flashcore.registry.near import did_you_mean
from flashcore.registry.reports import PluginReport, State, singular

_SHOWN = 4
"""Kinds of parts that have room on a line of the table."""

_as_json = click.option("--json", "as_json", is_flag=True, help="Answer with one JSON document.")


@click.group()
def plugins() -> None:
    """List, show and check plugins.

    Only `check` imports any: listing works however broken a plugin is. To leave plugins out, say --no-plugins,
    --no-plugin NAME (an entry point or a distribution), or set FLASHCORE_PLUGINS or FLASHCORE_DISABLE_PLUGINS.
    """


@plugins.command("list")
@_as_json
def list_plugins(as_json: bool) -> None:  # noqa: FBT001 - click names it
    """List all plugins with their states."""
    setting = _setting()
    reports = survey(setting)
    if as_json:
        output.show_json({"plugins": [as_document(report) for report in reports]})
    else:
        _show_table(reports)
    if setting.policy.strict and not all(report.healthy for report in reports):
        raise SystemExit(output.REFUSED)


@plugins.command()
@click.argument("name")
@_as_json
def show(name: str, as_json: bool) -> None:  # noqa: FBT001 - click names it
    """Show the plugins that answer to NAME, an entry point or a distribution, with all that they offer."""
    found = _found(survey(_setting()), name, as_json=as_json)
    if as_json:
        output.show_json({"plugins": [as_document(report) for report in found]})
        return
    for report in found:
        _show_one(report)


@plugins.command()
@click.argument("name", required=False)
@_as_json
def check(name: str | None, as_json: bool) -> None:  # noqa: FBT001 - click names it
    """Import every plugin, or those that answer to NAME, and resolve all that they refer to.

    Exits with 1 when one that is not switched off does not work.
    """
    reports = _examined(_setting())
    found = reports if name is None else _found(reports, name, as_json=as_json)
    works = all(report.healthy for report in found)
    if as_json:
        output.show_json({"works": works, "plugins": [as_document(report) for report in found]})
    else:
        _show_table(found)
    if not works:
        raise SystemExit(output.REFUSED)


def as_document(report: PluginReport) -> dict[str, Any]:
    """A plugin as `--json` shows it."""
    parts: dict[str, dict[str, Any]] = {}
    for offer in report.offers:
        shown = {"summary": offer.part.summary, "ref": offer.part.ref, "api": offer.part.api}
        parts.setdefault(offer.point, {})[offer.name] = {**shown, "options": offer.part.options}
    return {
        "name": report.origin.name,
        "distribution": report.origin.distribution,
        "version": report.origin.version,
        "state": report.state.value,
        "reason": report.reason,
        "next_step": report.next_step,
        "notes": list(report.notes),
        "parts": parts,
        "hooks": list(report.hooks),
        "module": report.module,
        "source": report.source,
        "import_ms": report.import_ms,
        "heavy": list(report.heavy),
    }


def _setting() -> Setting:
    return setting_of_process(sys.argv[1:], os.environ, find_project(Path.cwd()))


def _examined(setting: Setting) -> tuple[PluginReport, ...]:
    import dataclasses

    from flashcore.registry.opening import open_registry

    # A strict policy refuses to open the registry at all, and here every plugin is to be told of.
    lenient = dataclasses.replace(setting.policy, strict=False)
    registry = open_registry(dataclasses.replace(setting, policy=lenient))
    try:
        return registry.examine()
    finally:
        registry.close()


def _found(reports: Iterable[PluginReport], name: str, *, as_json: bool) -> tuple[PluginReport, ...]:
    everything = tuple(reports)
    found = tuple(report for report in everything if report.origin.answers_to(name))
    if not found:
        known = {one for report in everything for one in (report.origin.name, report.origin.distribution) if one}
        _fail(
            NotFound(f"no plugin answers to {name!r}{did_you_mean(name, known)}", next_step="flashcore plugins list"),
            as_json=as_json,
        )
    return found


def _fail(error: FlashcoreError, *, as_json: bool) -> None:
    from flashcore.cli.common import fail

    fail(error, as_json=as_json)


def _show_table(reports: Iterable[PluginReport]) -> None:
    listed = tuple(reports)
    rows = [
        [
            report.origin.name,
            report.state.value,
            " ".join(filter(None, (report.origin.distribution, report.origin.version))) or "-",
            f"{report.import_ms:.0f} ms",
            _offered(report),
        ]
        for report in listed
    ]
    output.show_table(["PLUGIN", "STATE", "DISTRIBUTION", "IMPORT", "OFFERS"], rows)
    for report in listed:
        _show_remarks(report)


def _offered(report: PluginReport) -> str:
    """What it offers, on one line; `plugins show` has it all."""
    counts = tuple(_counts(report))
    return ", ".join(counts) or "-" if len(counts) <= _SHOWN else f"{len(report.offers)} parts of {len(counts)} kinds"


def _counts(report: PluginReport) -> Iterable[str]:
    for point in dict.fromkeys(offer.point for offer in report.offers):
        count = sum(offer.point == point for offer in report.offers)
        yield f"{count} {singular(point) if count == 1 else point.replace('_', ' ')}"
    yield from report.hooks


def _show_remarks(report: PluginReport) -> None:
    if report.state is not State.ACTIVE:
        click.echo(f"{report.origin} is {report.state.words}: {report.reason}")
        if report.next_step:
            click.echo(f"  next: {report.next_step}")
    for note in report.notes:
        click.echo(f"{report.origin}: {note}")


def _show_one(report: PluginReport) -> None:
    click.echo(f"{report.origin}: {report.state.value}")
    _show_remarks(report)
    click.echo(f"  module  {report.module}, imported in {report.import_ms:.0f} ms")
    click.echo(f"  found   {report.source}")
    if report.heavy:
        click.echo(f"  loads   {', '.join(report.heavy)}")
    for hook in report.hooks:
        click.echo(f"  hook    {hook}")
    if report.offers:
        rows = [
            [f"  {offer.point}", offer.name, str(offer.part.api), offer.part.ref, offer.part.summary]
            for offer in report.offers
        ]
        output.show_table(["  OFFERS", "NAME", "API", "REFERENCE", "SUMMARY"], rows)
