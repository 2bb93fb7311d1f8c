"""Which replica gets a request."""

from flashcore.testing.routing_kit import make_candidates, make_request

from {{ cookiecutter.__package }} import {{ cookiecutter.__form }}
from {{ cookiecutter.__package }}.routing_policy import {{ cookiecutter.__part }}

POLICY = {{ cookiecutter.__part }}({{ cookiecutter.__form }}(label="zone", value="a"))


def test_the_group_is_preferred_however_busy_it_is() -> None:
    """And within the group, the least busy one."""
    one, two, other = make_candidates(3)
    one.labels = two.labels = {"zone": "a"}
    one.in_flight, two.in_flight = 2, 1

    assert POLICY.choose(make_request(0), (one, two, other)) is two


def test_others_do_when_none_of_the_group_is_there() -> None:
    """A request is never left alone."""
    (other,) = make_candidates(1)

    assert POLICY.choose(make_request(0), (other,)) is other
