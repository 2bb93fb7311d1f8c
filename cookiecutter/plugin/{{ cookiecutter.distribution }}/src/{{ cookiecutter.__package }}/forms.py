"""The options, as plain values. They are imported where user code is, in every replica, so they need nothing."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class {{ cookiecutter.__form }}:
{% include cookiecutter.concern ~ "/form.py" %}
