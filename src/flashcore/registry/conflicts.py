"""Two plugins, one name: who gets it. Decided for all offers at once, the same whatever the order of loading.

The built-in part keeps its name, and a part that says `replaces=` takes it from the distribution that it names.
Everybody else who claims a claimed name is told so; the rest of what they offer works.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from flashcore.registry.reports import Offer, Origin, PluginReport, State, titled

Claim = tuple[Origin, Offer]


@dataclass(frozen=True, slots=True)
class Contest:
    """The claims on one name of one point: the winner if there is one, those that gave way, those that lost."""

    subject: str
    """As in `strategy 'canary'`."""
    winner: Claim | None
    replaced: tuple[Claim, ...] = ()
    losers: tuple[Claim, ...] = ()


def settle_names(reports: Iterable[PluginReport]) -> dict[tuple[str, str], Contest]:
    """Every offered name, by point and name, with what came of it."""
    claims: dict[tuple[str, str], list[Claim]] = {}
    for report in reports:
        for offer in report.offers:
            claims.setdefault((offer.point, offer.name), []).append((report.origin, offer))
    return {key: _settle(titled(*key), all_claims) for key, all_claims in claims.items()}


def settle_declarations(contests: Iterable[Contest]) -> dict[str, Contest]:
    """Every import path that winning parts declare, with what came of it."""
    claims: dict[str, list[Claim]] = {}
    for contest in contests:
        if contest.winner is not None:
            for path in contest.winner[1].part.declares:
                claims.setdefault(path, []).append(contest.winner)
    return {path: _settle(f"the declaration {path!r}", all_claims) for path, all_claims in claims.items()}


def with_conflicts(report: PluginReport, contests: Iterable[Contest]) -> PluginReport:
    """The report, in conflict if it lost or shares a claim, with a note on what it gave way to."""
    for contest in contests:
        if any(origin == report.origin for origin, _ in contest.losers):
            report = _in_conflict(report, contest)
        if any(origin == report.origin for origin, _ in contest.replaced) and contest.winner is not None:
            report = report.noted([f"{contest.subject} is replaced by {contest.winner[0]}"])
    return report


def same_names(origins: Iterable[Origin]) -> Mapping[str, tuple[Origin, ...]]:
    """Entry-point names that more than one distribution uses, with all who use them."""
    by_name: dict[str, list[Origin]] = {}
    for origin in origins:
        by_name.setdefault(origin.name, []).append(origin)
    return {name: tuple(users) for name, users in by_name.items() if len(users) > 1}


def _settle(subject: str, claims: list[Claim]) -> Contest:
    standing = [claim for claim in claims if not any(_replaces(other, claim) for other in claims)]
    replaced = tuple(claim for claim in claims if claim not in standing)
    if len(standing) == 1:
        return Contest(subject, standing[0], replaced)
    built_in = next((claim for claim in standing if claim[0].built_in), None)
    # All of them replace each other in a circle, or several stand: nobody can say who is meant.
    losers = tuple(claim for claim in standing or claims if claim is not built_in)
    return Contest(subject, built_in, replaced if standing else (), losers)


def _replaces(one: Claim, other: Claim) -> bool:
    named = one[1].part.replaces
    return one is not other and named is not None and other[0].answers_to(named)


def _in_conflict(report: PluginReport, contest: Contest) -> PluginReport:
    present = [claim for claim in (contest.winner, *contest.losers) if claim is not None]
    others = [origin for origin, _ in present if origin != report.origin] or [report.origin]
    reason = f"{contest.subject} is offered by {' and by '.join(str(one) for one in others)} too"
    if report.state is State.CONFLICT:
        return report.noted([reason])
    other = others[0].distribution or others[0].name
    return report.turned(
        State.CONFLICT,
        reason,
        f"uninstall one, switch one off (--no-plugin {other}), or let one say replaces={other!r}",
    )
