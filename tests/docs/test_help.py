"""`help()` describes every public name, and the stub agrees with the module."""

from __future__ import annotations

import ast
import inspect
from pathlib import Path
from typing import Any, Callable, Iterator, NamedTuple, Union

import pytest

import zmqchat_rs
from zmqchat_rs import _core

STUB = ast.parse(Path(_core.__file__).with_name("_core.pyi").read_text(encoding="utf-8"))
Definition = Union[ast.FunctionDef, ast.ClassDef]


def stub_classes() -> dict[str, ast.ClassDef]:
    """Return the stub's classes that exist at run time. A TypedDict does not."""
    return {
        node.name: node
        for node in STUB.body
        if isinstance(node, ast.ClassDef)
        and not any(isinstance(base, ast.Name) and base.id == "TypedDict" for base in node.bases)
    }


def functions(body: list[ast.stmt]) -> dict[str, ast.FunctionDef]:
    return {node.name: node for node in body if isinstance(node, ast.FunctionDef)}


def is_property(node: ast.FunctionDef) -> bool:
    return any(isinstance(one, ast.Name) and one.id == "property" for one in node.decorator_list)


def public(namespace: Any) -> set[str]:
    return {name for name in vars(namespace) if not name.startswith("_")}


class Call(NamedTuple):
    """A callable of the public API: a function, a method or a constructor."""

    name: str
    runtime: Callable[..., Any]
    stub: ast.FunctionDef
    doc: str


def calls() -> Iterator[Call]:
    for name, stub in functions(STUB.body).items():
        function = getattr(_core, name)
        yield Call(name, function, stub, function.__doc__ or "")
    for class_name, node in stub_classes().items():
        cls = getattr(_core, class_name)
        for name, stub in functions(node.body).items():
            if name == "__new__":
                yield Call(class_name, cls, stub, cls.__doc__ or "")
            elif not is_property(stub):
                method = getattr(cls, name)
                yield Call(f"{class_name}.{name}", method, stub, method.__doc__ or "")


PUBLIC_CALLS = [
    call for call in calls() if not any(part.startswith("_") for part in call.name.split("."))
]


def stub_parameters(node: ast.FunctionDef, *, bound: bool) -> list[tuple[str, str, object]]:
    """Return name, kind and default of each parameter.

    A missing default is `inspect.Parameter.empty`.
    """
    args = node.args
    positional = [*args.posonlyargs, *args.args]
    empty: list[object] = [inspect.Parameter.empty]
    defaults = empty * (len(positional) - len(args.defaults)) + [
        ast.literal_eval(default) for default in args.defaults
    ]
    kinds = ["positional-only"] * len(args.posonlyargs) + ["positional or keyword"] * len(args.args)
    found = list(zip([arg.arg for arg in positional], kinds, defaults))[1 if bound else 0 :]
    for arg, default in zip(args.kwonlyargs, args.kw_defaults):
        value = inspect.Parameter.empty if default is None else ast.literal_eval(default)
        found.append((arg.arg, "keyword-only", value))
    return found


def runtime_parameters(call: Call) -> list[tuple[str, str, object]]:
    return [
        (one.name, one.kind.description, one.default)
        for one in inspect.signature(call.runtime).parameters.values()
        if one.name != "self"
    ]


def is_bound(call: Call) -> bool:
    return "." in call.name or inspect.isclass(call.runtime)


def test_the_stub_and_the_module_have_the_same_names() -> None:
    stub_names = {*stub_classes(), *functions(STUB.body)}
    assert {name for name in stub_names if not name.startswith("_")} == public(_core)
    for name, node in stub_classes().items():
        cls = getattr(_core, name)
        members = functions(node.body)
        attributes = {
            one.target.id
            for one in node.body
            if isinstance(one, ast.AnnAssign) and isinstance(one.target, ast.Name)
        }
        assert {one for one in members if not one.startswith("_")} == public(cls) - attributes, name
        for member in members:
            assert hasattr(cls, member), f"{name}.{member}"


@pytest.mark.parametrize("call", PUBLIC_CALLS, ids=lambda call: call.name)
def test_the_stub_and_the_module_take_the_same_arguments(call: Call) -> None:
    assert stub_parameters(call.stub, bound=is_bound(call)) == runtime_parameters(call)


def documented() -> Iterator[tuple[str, object]]:
    """Yield every public name of the package with its object, including class members."""
    yield "zmqchat_rs", zmqchat_rs
    for name in sorted({*public(_core), *zmqchat_rs.__all__} - {"__version__"}):
        member = getattr(zmqchat_rs if name in zmqchat_rs.__all__ else _core, name)
        yield name, member
        if inspect.isclass(member):
            for inner in sorted(public(member)):
                attribute = inspect.getattr_static(member, inner)
                # A plain value has its type's docstring. The docstring of the class describes it.
                value = attribute is None or isinstance(attribute, (int, str))
                value = value or inner in fields(member)
                yield f"{name}.{inner}", member if value else attribute


def fields(cls: type) -> tuple[str, ...]:
    """Return the field names of a NamedTuple or a dataclass."""
    return getattr(cls, "_fields", ()) or tuple(getattr(cls, "__dataclass_fields__", ()))


DOCUMENTED = dict(documented())


@pytest.mark.parametrize("name", [name for name in zmqchat_rs.__all__ if name[0].isupper()])
def test_every_field_is_described_by_its_class(name: str) -> None:
    cls = getattr(zmqchat_rs, name)
    doc = inspect.getdoc(cls) or ""
    for field in fields(cls):
        assert f"    {field}: " in doc, field


@pytest.mark.parametrize("name", DOCUMENTED)
def test_everything_public_is_documented(name: str) -> None:
    thing = DOCUMENTED[name]
    doc = thing.__dict__.get("__doc__") if inspect.isclass(thing) else thing.__doc__
    assert doc, name
    assert doc.strip(), name
    opening = inspect.cleandoc(doc).split("\n\n")[0]
    assert opening.endswith((".", "::")), f"{opening!r} is not a sentence"


def is_async_variant(call: Call) -> bool:
    """Return whether the name is `a` plus the name of a blocking call."""
    owner, _, name = call.name.rpartition(".")
    return name.startswith("a") and hasattr(getattr(_core, owner, None), name[1:])


@pytest.mark.parametrize(
    "call", [call for call in PUBLIC_CALLS if is_async_variant(call)], ids=lambda call: call.name
)
def test_an_asyncio_call_has_the_parameters_of_its_blocking_call(call: Call) -> None:
    owner, _, name = call.name.rpartition(".")
    blocking = next(one for one in PUBLIC_CALLS if one.name == f"{owner}.{name[1:]}")
    assert f"`{name[1:]}` for asyncio" in call.doc
    assert runtime_parameters(call) == runtime_parameters(blocking)
    returns = (
        ast.unparse(call.stub.returns) if hasattr(ast, "unparse") and call.stub.returns else ""
    )
    assert not returns or returns.startswith("Coroutine[Any, None, ")


@pytest.mark.parametrize(
    "call",
    [call for call in PUBLIC_CALLS if not is_async_variant(call)],
    ids=lambda call: call.name,
)
def test_the_help_of_a_call_describes_its_arguments_and_its_result(call: Call) -> None:
    parameters = [name for name, _, _ in stub_parameters(call.stub, bound=is_bound(call))]
    if parameters:
        assert "Args:" in call.doc
        arguments = call.doc.split("Args:", 1)[1]
        assert [name for name in parameters if f"{name}:" not in arguments] == []
    returns = call.stub.returns
    if not inspect.isclass(call.runtime) and not (
        isinstance(returns, ast.Constant) and returns.value is None
    ):
        assert "Returns:" in call.doc
    if parameters and call.name.startswith(("Publisher", "Subscriber")):
        assert "Raises:" in call.doc
    # `listen` returns a count: it does not raise on a timeout.
    if "timeout" in parameters and call.name != "Subscriber.listen":
        assert "TimeoutError" in call.doc
