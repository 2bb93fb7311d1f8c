"""Which function a call means, and what is said of a call that fits none."""

import functools
import inspect
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
from tests.worker.conftest import function

from flashcore.model.errors import NotFound, Refused, UsageError
from flashcore.wire.envelope import Arguments, Call
from flashcore.worker.functions import (
    MAX_INSTANCES,
    CallKind,
    FunctionTable,
    Invocation,
    LoadedClass,
    LoadedFunction,
    kind_of,
)


def f(a: int, b: int = 2, *, c: int = 3) -> tuple[int, int, int]:
    """A function with every common kind of parameter."""
    return a, b, c


class Index:
    """A class that counts its instances."""

    made: list[str] = []  # noqa: RUF012 - shared on purpose: it counts instances

    def __init__(self, path: str = "idx") -> None:
        self.made.append(path)
        self.path = path

    def search(self, query: str) -> str:
        """A plain method."""
        return f"{self.path}:{query}"

    @staticmethod
    def version() -> int:
        """A static one."""
        return 1

    async def slow(self) -> str:
        """A coroutine."""
        return self.path

    def items(self) -> Iterator[int]:
        """A generator."""
        yield 1


def table_of(*targets: Any) -> FunctionTable:
    """A table of functions and classes as they are."""
    methods = ("search", "version", "slow", "items")
    return FunctionTable(
        [
            LoadedClass.construct(function(target.__name__, "class", methods=methods), target)
            if isinstance(target, type)
            else LoadedFunction(function(target.__name__), target)
            for target in targets
        ]
    )


def begin(table: FunctionTable, call: Call) -> Any:
    """The value of a call of a plain function."""
    return table.invocation(call).begin()


def test_the_only_function_needs_no_name() -> None:
    """Who calls with curl writes arguments alone."""
    assert begin(table_of(f), Call(arguments=Arguments(kwargs={"a": 1}))) == (1, 2, 3)


def test_one_of_several_needs_its_name() -> None:
    """B06: the second function is served, too, and a call that names none is told which there are."""

    def g() -> str:
        return "g"

    table = table_of(f, g)

    assert begin(table, Call("g")) == "g"
    with pytest.raises(UsageError, match="f, g; the call names none"):
        table.invocation(Call())
    with pytest.raises(NotFound, match="no function 'h'") as refused:
        table.invocation(Call("h"))
    assert refused.value.next_step == "it has f, g"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (Arguments(()), r"f\(\) missing 1 required positional argument: 'a'"),
        (Arguments((1, 2, 3)), r"f\(\) takes from 1 to 2 positional arguments but 3 were given"),
        (Arguments((1,), {"d": 1}), r"f\(\) got an unexpected keyword argument 'd'"),
        (Arguments((1,), {"a": 1}), r"f\(\) got multiple values for argument 'a'"),
    ],
)
def test_arguments_that_do_not_fit_are_told_in_pythons_words(arguments: Arguments, said: str) -> None:
    """B35: nothing is truncated or ignored, and the signature is shown."""
    with pytest.raises(TypeError, match=rf"{said}\n  signature: f\(a: int, b: int = 2, \*, c: int = 3\)"):
        begin(table_of(f), Call(arguments=arguments))


def test_a_type_error_of_the_functions_own_is_left_alone() -> None:
    """Only a call that does not bind is a bad call."""

    def broken(a: Any) -> Any:
        return a + 1

    with pytest.raises(TypeError, match="can only concatenate str") as raised:
        begin(table_of(broken), Call(arguments=Arguments(("x",))))
    assert "signature" not in str(raised.value)


def test_a_bad_call_through_a_decorator_is_found() -> None:
    """A wrapper that takes anything hides nothing."""

    @functools.wraps(f)
    def wrapped(*args: Any, **kwargs: Any) -> Any:
        return f(*args, **kwargs)

    with pytest.raises(TypeError, match=r"missing 1 required.*\n  signature: f"):
        begin(table_of(wrapped), Call())


def test_a_class_is_constructed_once_and_called_by_method() -> None:
    """B36: one instance for all calls; methods by name, static ones too."""
    Index.made.clear()
    table = table_of(Index)

    assert begin(table, Call("Index", "search", Arguments(("q",)))) == "idx:q"
    assert begin(table, Call(None, "version")) == 1
    assert Index.made == ["idx"]


def test_constructor_arguments_make_an_instance_of_their_own_once() -> None:
    """B36: what the caller constructs with is constructed in the replica, and kept."""
    Index.made.clear()
    table = table_of(Index)
    call = Call("Index", "search", Arguments(("q",)), constructor=Arguments(("other",)))

    assert [begin(table, call), begin(table, call)] == ["other:q", "other:q"]
    assert Index.made == ["idx", "other"]


def test_instances_are_bounded() -> None:
    """A caller who varies the constructor's arguments does not fill the memory."""
    table = table_of(Index)
    for number in range(MAX_INSTANCES - 1):
        begin(table, Call("Index", "version", constructor=Arguments((str(number),))))

    with pytest.raises(Refused, match="16 different sets of arguments"):
        begin(table, Call("Index", "version", constructor=Arguments(("one more",))))


def test_a_constructor_that_needs_arguments_waits_for_them() -> None:
    """Nothing is constructed at start that could not be; a call without them is told what is missing."""

    class Needy:
        def __init__(self, path: str) -> None:
            self.path = path

        def search(self) -> str:
            return self.path

    table = FunctionTable([LoadedClass.construct(function("Needy", "class", methods=("search",)), Needy)])

    with pytest.raises(
        TypeError, match=r"missing 1 required positional argument: 'path'\n  signature: Needy\(path: str\)"
    ):
        begin(table, Call())
    assert begin(table, Call(constructor=Arguments(("x",)))) == "x"


def test_a_constructor_that_raises_is_heard() -> None:
    """B36: it makes the replica fail to start."""

    class Broken:
        def __init__(self) -> None:
            raise RuntimeError("no GPU")

    with pytest.raises(RuntimeError, match="no GPU"):
        LoadedClass.construct(function("Broken", "class"), Broken)


@pytest.mark.parametrize("method", ["_private", "__init__", "made", "nothing"])
def test_only_declared_methods_can_be_called(method: str) -> None:
    """What the scanner did not list as a public method is none."""
    with pytest.raises(NotFound, match="no public method"):
        table_of(Index).invocation(Call("Index", method))


def test_a_class_with_several_methods_needs_one_named() -> None:
    """The error says which there are."""
    with pytest.raises(UsageError, match="search, version, slow, items; the call names none"):
        table_of(Index).invocation(Call("Index"))


def test_a_function_has_no_methods() -> None:
    """A call that takes a function for a class is told."""
    with pytest.raises(UsageError, match="f is a function"):
        table_of(f).invocation(Call("f", "search"))


def test_a_method_called_wrongly_shows_its_signature_without_self() -> None:
    """B35, for methods."""
    with pytest.raises(TypeError, match=r"signature: Index\.search\(query: str\) -> str"):
        begin(table_of(Index), Call("Index", "search"))


async def coroutine() -> None:
    """A coroutine function."""


async def stream() -> AsyncIterator[int]:
    """An async generator."""
    yield 1


def generator() -> Iterator[int]:
    """A generator."""
    yield 1


class Callable:
    """Its instances are called as coroutine functions."""

    async def __call__(self) -> None:
        """Do nothing."""


@pytest.mark.parametrize(
    ("target", "kind"),
    [
        (f, CallKind.SYNC),
        (len, CallKind.SYNC),
        (Index, CallKind.SYNC),
        (coroutine, CallKind.ASYNC),
        (functools.partial(functools.partial(coroutine)), CallKind.ASYNC),
        (Callable(), CallKind.ASYNC),
        (generator, CallKind.GENERATOR),
        (stream, CallKind.ASYNC_GENERATOR),
    ],
)
def test_kinds_are_seen_through_wrappers(target: Any, kind: CallKind) -> None:
    """How something is run is decided by what it is, once."""
    assert kind_of(target) is kind


def decorated(function: Any) -> Any:
    """A decorator as people write them."""

    @functools.wraps(function)
    def around(*args: Any, **kwargs: Any) -> Any:
        return function(*args, **kwargs)

    return around


def with_one(function: Any) -> Any:
    """One that gives the function an argument itself, and says nothing of it."""

    @functools.wraps(function)
    def around(*args: Any) -> Any:
        return function(1, *args)

    return around


def awaited_later(function: Any) -> Any:
    """One that makes a coroutine function of it."""

    @functools.wraps(function)
    async def around(*args: Any) -> Any:
        return function(*args)

    return around


def broken(a: int) -> int:
    """A function with a mistake of its own."""
    return a + "text"  # type: ignore[operator]  # on purpose


def outcome(invocation: Invocation) -> str | None:
    """What it says of the error that it raises."""
    try:
        value = invocation.begin()
        if inspect.iscoroutine(value):
            value.send(None)
    except StopIteration:
        return None
    except TypeError as error:
        return invocation.unfit_by(error)
    return None


@pytest.mark.parametrize(
    ("target", "arguments", "takes"),
    [
        (f, (), "f(a: int, b: int = 2, *, c: int = 3) -> tuple[int, int, int]"),
        (f, (1,), None),
        (decorated(broken), (), "broken(a: int) -> int"),
        (decorated(broken), (1,), None),
        (awaited_later(broken), (), "broken(a: int) -> int"),
        (awaited_later(broken), (1,), None),
        (with_one(broken), (), None),
    ],
    ids=["missing", "fits", "decorated", "its own mistake", "later", "later, its own", "given by its decorator"],
)
def test_only_a_call_that_cannot_be_made_does_not_fit(target: Any, arguments: tuple[Any, ...], takes: str) -> None:
    """Q33: whoever decorates it, the function's own code has not begun; what it raises itself is its own."""
    name = inspect.unwrap(target).__name__
    loaded = LoadedFunction(function(name), target)

    assert outcome(FunctionTable([loaded]).invocation(Call(name, arguments=Arguments(arguments)))) == takes


@pytest.mark.parametrize(
    ("constructor", "arguments", "takes"),
    [
        (("a", "b"), ("q",), "Index(path: str = 'idx') -> None"),
        ((), (), "Index.search(query: str) -> str"),
        ((), ("q",), None),
    ],
)
def test_classes_fit_by_constructor_and_method(
    constructor: tuple[Any, ...], arguments: tuple[Any, ...], takes: str | None
) -> None:
    """Q33: both are told without self."""
    call = Call("Index", "search", Arguments(arguments), Arguments(constructor))

    assert outcome(table_of(Index).invocation(call)) == takes


def test_a_table_says_what_all_of_it_takes() -> None:
    """Functions, constructors and methods, by the names that errors show."""
    assert table_of(f, Index).takes == {
        "f": "f(a: int, b: int = 2, *, c: int = 3) -> tuple[int, int, int]",
        "Index": "Index(path: str = 'idx') -> None",
        "Index.search": "Index.search(query: str) -> str",
        "Index.version": "Index.version() -> int",
        "Index.slow": "Index.slow() -> str",
        "Index.items": "Index.items() -> collections.abc.Iterator[int]",
    }
