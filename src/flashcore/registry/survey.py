"""What the examining process runs: load all plugins, and say so line by line on a pipe.

Before a plugin is touched its name goes out, so that whoever reads knows whom to blame when this process ends or
falls silent.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

from flashcore.hookspecs import EXTENSION_POINTS
from flashcore.registry.loader import load
from flashcore.registry.local import local_candidate
from flashcore.registry.policy import Ban, Policy
from flashcore.registry.reports import Origin, report_to_json
from flashcore.registry.scan import Candidate, scan


def main(request: dict[str, Any]) -> None:
    """Answer the request of `refresh.examine`; ends the process."""
    with os.fdopen(request["answer"], "w", encoding="utf-8", buffering=1) as answer:

        def announce(origin: Origin) -> None:
            answer.write(json.dumps({"touching": origin.key}) + "\n")

        loaded = load(
            _candidates(request),
            _policy(request["policy"]),
            EXTENSION_POINTS,
            crashed=request["crashed"],
            announce=announce,
        )
        answer.write(json.dumps({"reports": [report_to_json(report) for report in loaded.reports]}) + "\n")
    # A plugin may have started threads or registered exit functions, none of which is our concern.
    os._exit(0)


def _candidates(request: dict[str, Any]) -> tuple[Candidate, ...]:
    local = local_candidate(Path(request["project"]) if request["project"] else None)
    return (*scan(request["path"], sys.meta_path), *((local,) if local else ()))


def _policy(value: dict[str, Any]) -> Policy:
    allowed = None if value["allowed"] is None else tuple(value["allowed"])
    return Policy(value["strict"], allowed, value["allowed_by"], tuple(Ban(**ban) for ban in value["bans"]))
