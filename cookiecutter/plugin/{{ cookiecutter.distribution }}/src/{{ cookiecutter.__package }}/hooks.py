"""What this package offers to flashcore. Nothing else of it is imported before the part is used."""

from flashcore.plugin import Part, hookimpl


@hookimpl
def flashcore_{{ cookiecutter.__point }}() -> dict[str, Part]:
    """The part, by the name that a declaration uses."""
    return {
        "{{ cookiecutter.__slug }}": Part(
            "{{ cookiecutter.__package }}.{{ cookiecutter.concern }}:{{ cookiecutter.__part }}",
            "{% include cookiecutter.concern ~ "/summary.txt" %}",
            options="{{ cookiecutter.__package }}:{{ cookiecutter.__form }}",
            # By which import path user code may name it: where it is exported, and where it is defined.
            declares=(
                "{{ cookiecutter.__package }}:{{ cookiecutter.__form }}",
                "{{ cookiecutter.__package }}.forms:{{ cookiecutter.__form }}",
            ),
        )
    }
