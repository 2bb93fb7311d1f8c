"""{{ cookiecutter.__form }}, as user code writes it in a declaration. What it does is in `{{ cookiecutter.concern }}`."""

from {{ cookiecutter.__package }}.forms import {{ cookiecutter.__form }}

__all__ = ["{{ cookiecutter.__form }}"]
