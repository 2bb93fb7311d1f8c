"""Options that mean nothing are refused where they are written."""

from collections.abc import Callable
from dataclasses import FrozenInstanceError

import pytest

from flashcore_routing import Bucket, CacheAware, PrefixHash


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: PrefixHash(field=""), "field must name a field"),
        (lambda: PrefixHash(characters=0), "characters must be at least 1, not 0"),
        (lambda: PrefixHash(bound=1.0), "bound must be over 1, not 1.0"),
        (lambda: PrefixHash(body_limit=0), "body_limit must be at least 1 byte"),
        (lambda: CacheAware(block=0), "block must be at least 1 character"),
        (lambda: CacheAware(blocks=0), "blocks must be at least 1"),
        (lambda: CacheAware(match=1.5), "match must be a share from 0 to 1"),
        (lambda: CacheAware(imbalance=0.5), "imbalance must be at least 1"),
        (lambda: CacheAware(slack=-1), "slack must be at least 0"),
        (lambda: Bucket(classes=0), "classes must be at least 1"),
        (lambda: Bucket(classes=4, window=3), "window must be at least 4, not 3"),
    ],
)
def test_numbers_that_mean_nothing_are_refused(make: Callable[[], object], message: str) -> None:
    """With the option's name, what it should be and what it was."""
    with pytest.raises(ValueError, match=message):
        make()


def test_options_do_not_change() -> None:
    """They are part of a declaration that has a digest."""
    form = PrefixHash()

    with pytest.raises(FrozenInstanceError):
        form.bound = 2.0  # type: ignore[misc]  # that it cannot be set is the point
