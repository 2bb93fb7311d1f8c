"""Refuse a name that no app can have, before anything is written."""

import re
import sys

name = {{ cookiecutter.name | tojson }}

if not re.fullmatch(r"[a-z0-9]([a-z0-9-]{0,38}[a-z0-9])?", name):
    near = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")[:40].strip("-") or "shop"
    print(
        f"The app cannot be called {name!r}: lower-case letters, digits and inner hyphens only, at most 40 of them."
        f" Write {near!r}, for instance.",
        file=sys.stderr,
    )
    sys.exit(1)
