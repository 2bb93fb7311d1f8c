"""The part does what its contract says."""

from flashcore.hookspecs.{{ cookiecutter.__contract }} import {{ cookiecutter.__kind }}
from flashcore.testing.{{ cookiecutter.__kit }}_kit import {{ cookiecutter.__kind }}Kit

from {{ cookiecutter.__package }} import {{ cookiecutter.__form }}
from {{ cookiecutter.__package }}.{{ cookiecutter.concern }} import {{ cookiecutter.__part }}


class Test{{ cookiecutter.__form }}({{ cookiecutter.__kind }}Kit):
    """The kit of its extension point."""

    def {{ cookiecutter.__maker }}(self) -> {{ cookiecutter.__kind }}:
        """As declared without options."""
        return {{ cookiecutter.__part }}({{ cookiecutter.__form }}())
