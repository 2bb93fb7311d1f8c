"""What the generated handler of such an endpoint holds."""

from __future__ import annotations

import runpy
import sys
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class WorkerScript:
    """A script that ends in `runpod.serverless.start(...)`, and the artifact's folder."""

    path: Path
    root: Path

    def run_here(self) -> None:
        """Be the script: this process is a worker of RunPod's cloud already."""
        sys.path[:0] = [str(self.path.parent), str(self.root)]
        runpy.run_path(str(self.path), run_name="__main__")
