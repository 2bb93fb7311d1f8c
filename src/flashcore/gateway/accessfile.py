"""The tokens that this environment's gateway last heard of, kept for its next start: they hold digests, no secrets."""

from __future__ import annotations

import json
import logging
from pathlib import Path

from flashcore.gateway.files import replace_file
from flashcore.model.codec import CodecError, from_json, to_json
from flashcore.model.token import Token

_log = logging.getLogger(__name__)


def keep_tokens(path: Path, tokens: tuple[Token, ...]) -> None:
    """Write them down. A disk that refuses is logged: they count all the same."""
    try:
        replace_file(path, json.dumps([to_json(token) for token in tokens]).encode())
    except OSError as error:
        _log.error("the tokens could not be kept in %s: %s; a restart would begin with older ones", path, error)


def kept_tokens(path: Path) -> tuple[Token, ...]:
    """The tokens that were kept; none where there are none, or where they cannot be read."""
    try:
        return tuple(from_json(Token, one) for one in json.loads(path.read_bytes()))
    except FileNotFoundError:
        return ()
    except (OSError, ValueError, RecursionError, TypeError, CodecError) as error:
        _log.warning("%s cannot be used: %s; only the environment's own token is known", path, error)
        return ()
