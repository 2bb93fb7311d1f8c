"""What a declaration may say of a canary."""

import re
from typing import Any

import pytest

from flashcore_canary import Analysis, Canary


@pytest.mark.parametrize(
    ("form", "options", "message"),
    [
        (Canary, {"weights": ()}, "weights must have a step at least"),
        (Canary, {"weights": (0, 50)}, "weights must be from 1 to 99 percent, not (0, 50)"),
        (Canary, {"weights": (100,)}, "weights must be from 1 to 99 percent, not (100,)"),
        (Canary, {"weights": (50, 25)}, "weights must grow from step to step, not (50, 25)"),
        (Canary, {"pause": -1}, "pause must be seconds from 0, or None, not -1"),
        (Canary, {"pause": float("inf")}, "pause must be seconds from 0, or None, not inf"),
        (Canary, {"max_surge": -1}, "max_surge must be a count from 0, or None, not -1"),
        (Canary, {"keep_old": -1}, "keep_old must be seconds from 0, not -1"),
        (Canary, {"errors": 0}, "errors must be a share between 0 and 1, not 0"),
        (Analysis, {"slower": 1}, "slower must be a share between 0 and 1, not 1"),
        (Analysis, {"confidence": 1}, "confidence must be from 0.5 to below 1, not 1"),
        (Analysis, {"patience": 0}, "patience must be seconds over 0, not 0"),
        (Analysis, {"if_unsure": "wait"}, "if_unsure must be one of hold, pass, fail, not 'wait'"),
    ],
)
def test_numbers_that_mean_nothing_are_refused(form: type, options: dict[str, Any], message: str) -> None:
    """With the value, and what would do."""
    with pytest.raises(ValueError, match=re.escape(message)):
        form(**options)
