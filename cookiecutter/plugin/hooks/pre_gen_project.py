"""Refuse names that could not be used, before anything is written."""

import keyword
import re
import sys

name = {{ cookiecutter.name | tojson }}
distribution = {{ cookiecutter.distribution | tojson }}
form = {{ cookiecutter.__form | tojson }}

OURS = {f"flashcore-{thing}" for thing in ("canary", "framework", "postgres", "ray", "redis", "routing", "runpod")}


def reason_against() -> str | None:
    """What is wrong with the names, None if nothing is."""
    if re.match(r"flashcore[-_]", name):
        return f"write {re.sub(r'^flashcore[-_](contrib[-_])?', '', name)!r}, not {name!r}: it is a name in declarations"
    if not re.fullmatch(r"[a-z][a-z0-9]*(-[a-z0-9]+)*", name) or len(name) > 40:
        return f"the name {name!r} cannot be used: lower-case letters, digits and inner hyphens, a letter first, at most 40"
    if keyword.iskeyword(form):
        return f"the name {name!r} cannot be used: its class would be called {form}, which is a word of Python's own"
    if not re.fullmatch(r"[a-z][a-z0-9]*(-[a-z0-9]+)*", distribution):
        return f"the distribution {distribution!r} cannot be used: lower-case letters, digits and inner hyphens, as in 'acme-flashcore'"
    if distribution == "flashcore":
        return "the distribution 'flashcore' is another project, whose files would overwrite flashcore-framework's"
    if distribution in OURS:
        return f"the distribution {distribution!r} is flashcore's own: write 'flashcore-contrib-{name}', or your company's name"
    return None


reason = reason_against()
if reason is not None:
    print(f"Not made: {reason}.", file=sys.stderr)
    sys.exit(1)
