"""JSON without blanks, for texts of which there are several for each job."""

from __future__ import annotations

import json
import json.encoder
from collections.abc import Callable
from typing import Any

json_text = json.encoder.encode_basestring
"""A text as JSON, with its quotes."""


def compact_encoder() -> Callable[[Any], str]:
    """Writes JSON as `JSONEncoder.encode` does. Raises ValueError, TypeError or RecursionError for what is none.

    `encode` makes the encoder in C anew for each text, which takes as long as to write one that is small. Here it is
    made once, where this Python has it in the form that is known here.
    """
    plain = json.JSONEncoder(separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    make: Any = getattr(json.encoder, "c_make_encoder", None)
    try:
        write = make(None, plain.default, json.encoder.encode_basestring, None, ":", ",", False, False, False)
    except TypeError:  # there is none, or it takes something else
        return plain.encode
    return lambda value: "".join(write(value, 0))
