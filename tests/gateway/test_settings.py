"""The gateway's numbers, as the project's settings hand them over."""

from dataclasses import fields

import pytest

from flashcore.gateway.settings import Settings, settings_from
from flashcore.model.errors import ConfigurationError


@pytest.mark.parametrize("name", [field.name for field in fields(Settings)])
def test_every_setting_can_be_set(name: str) -> None:
    """The project's settings are numbers with a decimal point; `queued_limit = 4` kept the gateway from starting."""
    default = getattr(Settings(), name)

    made = settings_from([f"{name}={float(default)}"])

    assert made == Settings()
    assert type(getattr(made, name)) is type(default)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("queued_limit=4.5", "queued_limit is a whole number, not '4.5'"),
        ("queued_limit=inf", "queued_limit is a whole number, not 'inf'"),
        ("hold_seconds=long", "hold_seconds is a number, not 'long'"),
        ("hold_secnds=1.0", "no setting 'hold_secnds'"),
    ],
)
def test_what_is_no_setting_is_refused(text: str, said: str) -> None:
    """With what to do."""
    with pytest.raises(ConfigurationError, match=said) as refused:
        settings_from([text])

    assert refused.value.next_step
