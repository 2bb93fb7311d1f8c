"""Ending a platform of another machine."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path


class Stopping(BaseHTTPRequestHandler):
    """A control plane that ends when it is told to."""

    def do_POST(self) -> None:
        """Say how long it may take."""
        self.server.asked = self.path  # type: ignore[attr-defined]  # what the test looks at
        self.rfile.read(int(self.headers["content-length"]))
        body = b'{"seconds": 45}'
        self.send_response(200)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Nobody reads it."""


def test_a_platform_elsewhere_is_told_to_stop_and_not_waited_for(tmp_path: Path) -> None:
    """Nothing of it runs here: the command took it for stopped, and did not ask."""
    with HTTPServer(("127.0.0.1", 0), Stopping) as there:
        url = f"http://127.0.0.1:{there.server_port}"
        (tmp_path / "flashcore.toml").write_text(f'app = "shop"\n[api]\nurl = "{url}"\n')
        thread = threading.Thread(target=there.serve_forever)
        thread.start()
        try:
            ran = subprocess.run(
                [sys.executable, "-m", "flashcore", "server", "stop"],
                cwd=tmp_path,
                env={**os.environ, "FLASHCORE_TOKEN": "t"},
                capture_output=True,
                text=True,
                check=False,
            )
        finally:
            there.shutdown()
            thread.join()

    assert ran.returncode == 0, ran.stderr
    assert there.asked == "/api/v1/server/stop"  # type: ignore[attr-defined]  # as above
    assert f"the platform at {url} stops, within 45 s; it is not waited for" in ran.stderr
