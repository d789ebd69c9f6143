"""ROS parameters from frozen dataclasses: the only way nodes of this package get parameters.

A node writes down what can be configured once, with one place for each default::

    @dataclass(frozen=True)
    class CameraConfig:
        rate: float = parameter(30.0, "Images per second.", range=(0.1, 1000.0))
        source: str = parameter("scenes", "What is shown.", read_only=True)
        qos: QoSConfig = parameter(QoSConfig(), "Image topic")  # qos.reliability, qos.depth ...

    self._settings = ParameterSet(self, CameraConfig, on_change=self._changed)
    self._settings.value.rate

(Not ``self._parameters``: that is where ``rclpy.node.Node`` keeps its own.)

A field is ``bool``, ``int``, ``float``, ``str``, a list of one of these (``tuple[int, ...]``), an
``Enum`` of strings or another frozen dataclass, whose fields then form a dotted group.
"""

from __future__ import annotations

import dataclasses
import math
import typing
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from enum import Enum
from typing import Any, Generic, TypeVar, cast

from rcl_interfaces.msg import (
    FloatingPointRange,
    IntegerRange,
    ParameterDescriptor,
    SetParametersResult,
)
from rclpy.node import Node
from rclpy.parameter import Parameter

T = TypeVar("T")

_METADATA = "jetson_detect.parameter"
_FOREIGN_OVERRIDES = ("use_sim_time", "qos_overrides.", "start_type_description_service")
"""Overrides that rclpy itself reads, some of them without declaring a parameter."""
_LIST_TYPES = {
    bool: Parameter.Type.BOOL_ARRAY,
    int: Parameter.Type.INTEGER_ARRAY,
    float: Parameter.Type.DOUBLE_ARRAY,
    str: Parameter.Type.STRING_ARRAY,
}
_LIST_EXAMPLES = {
    bool: "[true, false]",
    int: "[1, 2]",
    float: "[1.0, 2.0]",
    str: "['a', 'b'], or [''] for none",
}


class ParameterError(ValueError):
    """A parameter has a value it cannot have; the text names it, the value and what is allowed."""


@dataclass(frozen=True)
class _Metadata:
    description: str = ""
    range: tuple[float, float] | None = None
    choices: tuple[Any, ...] | None = None
    read_only: bool = False


def parameter(
    default: T,
    description: str,
    *,
    range: tuple[float, float] | None = None,  # noqa: A002  what it is called in ROS
    choices: tuple[Any, ...] | None = None,
    read_only: bool = False,
) -> T:
    """Make a dataclass field that is a ROS parameter.

    Args:
        default: the value unless the user gives another.
        description: shown by ``ros2 param describe``; for a group, put before the descriptions of
            its members.
        range: smallest and largest value of a number, or of each number of a list.
        choices: the values allowed, or allowed in a list; an ``Enum`` brings its own.
        read_only: can be given at start only; for a group this holds for all of its members.
    """
    metadata = {_METADATA: _Metadata(description, range, choices, read_only)}
    return field(default=default, metadata=metadata)


@dataclass(frozen=True)
class Specification:
    """One ROS parameter, as a dataclass field describes it."""

    name: str
    type: Any
    """The field's type: ``bool``, ``float``, ``tuple[str, ...]`` ..."""
    default: Any
    description: str = ""
    range: tuple[float, float] | None = None
    choices: tuple[Any, ...] | None = None
    read_only: bool = False

    def parse(self, value: Any) -> Any:
        """Turn what ROS holds into what the dataclass holds.

        Raises
        ------
        ParameterError
            If the value is of another type, out of range or not one of the choices.

        """
        if self._is_list:
            return tuple(self._parse_one(item) for item in self._items(value))
        return self._parse_one(value)

    def to_ros(self, value: Any) -> Parameter:
        """Turn what the dataclass holds into a parameter of exactly one ROS type.

        An empty list of text becomes ``['']``: rclpy takes an empty list for bytes, and a
        parameter file cannot hold one.
        """
        if self._is_list:
            items = list(value)
            if self._item_type is str and not items:
                items = [""]
            return Parameter(self.name, _LIST_TYPES[self._item_type], items)
        if isinstance(value, Enum):
            value = value.value
        if self._item_type is float:
            value = float(value)
        return Parameter(self.name, value=value)

    def descriptor(self) -> ParameterDescriptor:
        """Describe the parameter to tools.

        The type is left open (``dynamic_typing``) so that each value reaches :meth:`parse`: an
        integer is a fine value of a float, an empty list comes as bytes or as booleans, and a
        refusal can say what is allowed.
        """
        sentences = [self.description] if self.description else []
        if self._choices is not None:
            choices = ", ".join(str(_plain(choice)) for choice in self._choices)
            sentences.append(f"One of: {choices}.")
        if self.read_only:
            sentences.append("Read-only after start: restart the node to change it.")
        descriptor = ParameterDescriptor(
            name=self.name,
            description=" ".join(sentences),
            read_only=self.read_only,
            dynamic_typing=True,
        )
        if self.range is not None:
            low, high = self.range
            if self._item_type is int:
                descriptor.integer_range = [
                    IntegerRange(from_value=int(low), to_value=int(high), step=1)
                ]
            else:
                descriptor.floating_point_range = [
                    FloatingPointRange(from_value=float(low), to_value=float(high))
                ]
        return descriptor

    @property
    def allowed(self) -> str:
        """What a value must be, in words."""
        if self._choices is not None:
            text = f"one of {', '.join(map(repr, map(_plain, self._choices)))}"
            return f"a list with each item {text}" if self._is_list else text
        singular, plural = {
            bool: ("true or false", "true and false"),
            int: ("an integer", "integers"),
            float: ("a number", "numbers"),
            str: ("text", "texts"),
        }[self._item_type]
        text = f"a list of {plural}" if self._is_list else singular
        if self.range is not None:
            text += f" from {self.range[0]:g} to {self.range[1]:g}"
        return text

    @property
    def _is_list(self) -> bool:
        return typing.get_origin(self.type) is tuple

    @property
    def _item_type(self) -> Any:
        """The type of the value, or of the items of a list: bool, int, float or str."""
        item = typing.get_args(self.type)[0] if self._is_list else self.type
        return str if issubclass(item, Enum) else item

    @property
    def _choices(self) -> tuple[Any, ...] | None:
        if self.choices is None and not self._is_list and issubclass(self.type, Enum):
            return tuple(self.type)
        return self.choices

    def _items(self, value: Any) -> list[Any]:
        """List the items of a list as ROS holds it: nothing, ``['']`` and ``[]`` are empty."""
        if value is None:
            return []
        # Text is iterable as well, but is not a list of texts.
        if isinstance(value, (str, bytes)) or not isinstance(value, Iterable):
            raise self._error(value, f"write {_LIST_EXAMPLES[self._item_type]}")
        items = list(value)
        return [] if self._item_type is str and items == [""] else items

    def _parse_one(self, value: Any) -> Any:
        plain = _plain(value)
        if self._item_type is float and isinstance(plain, int) and not isinstance(plain, bool):
            plain = float(plain)
        if type(plain) is not self._item_type:
            if self._item_type is str and isinstance(plain, (bool, int, float)):
                # YAML reads an unquoted 5 or off as something else than text.
                raise self._error(value, "put text that looks like something else into quotes")
            raise self._error(value)
        if isinstance(plain, float) and not math.isfinite(plain):
            raise self._error(value)
        if self._choices is not None:
            for choice in self._choices:
                if plain == _plain(choice):
                    return choice
            raise self._error(value)
        if self.range is not None and not self.range[0] <= plain <= self.range[1]:
            raise self._error(value)
        return plain

    def _error(self, value: Any, remedy: str = "") -> ParameterError:
        shown = "nothing" if value is None else repr(_plain(value))
        text = f"parameter '{self.name}' must be {self.allowed}, not {shown}"
        return ParameterError(f"{text}; {remedy}" if remedy else text)


def specifications(config_class: type[Any]) -> tuple[Specification, ...]:
    """List the parameters that a frozen dataclass describes, in the order of its fields.

    Raises
    ------
    TypeError
        If the class is no frozen dataclass or a field's type cannot be a parameter.

    """
    return tuple(_specifications(config_class(), prefix="", group=_Metadata()))


def _specifications(defaults: Any, prefix: str, group: _Metadata) -> Iterator[Specification]:
    config_class = type(defaults)
    if not _is_frozen_dataclass(config_class):
        raise TypeError(f"{config_class.__name__} must be a frozen dataclass")
    types = typing.get_type_hints(config_class)
    for each in dataclasses.fields(config_class):
        metadata: _Metadata = each.metadata.get(_METADATA, _Metadata())
        field_type = types[each.name]
        default = getattr(defaults, each.name)
        name = prefix + each.name
        description = ": ".join(filter(None, (group.description, metadata.description)))
        read_only = group.read_only or metadata.read_only
        if dataclasses.is_dataclass(field_type):
            yield from _specifications(
                default, f"{name}.", _Metadata(description, read_only=read_only)
            )
            continue
        if not _is_supported(field_type):
            raise TypeError(
                f"{config_class.__name__}.{each.name}: {field_type} cannot be a ROS parameter; "
                "use bool, int, float, str, an Enum of str, tuple[bool, ...] (or of int, float, "
                "str) or a frozen dataclass of these"
            )
        specification = Specification(
            name=name,
            type=field_type,
            default=default,
            description=description,
            range=metadata.range,
            choices=metadata.choices,
            read_only=read_only,
        )
        specification.parse(default)  # a default that is refused is a mistake in the dataclass
        yield specification


class ParameterSet(Generic[T]):
    """The parameters of one node, kept as one frozen dataclass.

    Declares them all, reads what the user gave, and from then on keeps :attr:`value` equal to
    what ``ros2 param get`` shows.  A change, or a batch of changes, is taken as a whole or refused
    as a whole with a text that says what is allowed.
    """

    def __init__(
        self,
        node: Node,
        config_class: type[T],
        on_change: Callable[[T, T], None] | None = None,
        check: Callable[[T], None] | None = None,
    ) -> None:
        """Declare the parameters.

        Args:
            node: a ``Node`` or ``LifecycleNode``.
            config_class: a frozen dataclass in which each field has a default.
            on_change: called with the old and the new configuration after a change has been
                taken.  It cannot refuse any more.
            check: raises ``ValueError`` for a configuration whose values do not go together.

        Raises
        ------
        ParameterError
            If the user gave a value that is not allowed.

        """
        self._node = node
        self._config_class = config_class
        self._on_change = on_change
        self._check = check
        self._specifications = {each.name: each for each in specifications(config_class)}
        given = {each.name: self._declare(each) for each in self._specifications.values()}
        self._value = self._build(given)
        for each in self._specifications.values():
            node.set_parameters([each.to_ros(given[each.name])])
            # Last, because a parameter that is read-only cannot be set any more.
            node.set_descriptor(each.name, each.descriptor())
        self._warn_of_unknown_overrides()
        node.add_on_set_parameters_callback(self._on_set)
        # Humble has neither of these.
        self._has_post_set = hasattr(node, "add_post_set_parameters_callback")
        if self._has_post_set:
            node.add_post_set_parameters_callback(self._apply)
        if hasattr(node, "add_pre_set_parameters_callback"):
            node.add_pre_set_parameters_callback(self._with_exact_types)

    @property
    def value(self) -> T:
        """The configuration in force; a change replaces it, so read it once for each use."""
        return self._value

    def set(self, **changes: Any) -> None:
        """Change parameters from within the node, all or none.

        ``on_change`` is called as for any other change.

        Raises
        ------
        ParameterError
            If a name is unknown, a value not allowed or a parameter read-only.

        """
        unknown = changes.keys() - self._specifications.keys()
        if unknown:
            raise ParameterError(
                f"there is no parameter '{sorted(unknown)[0]}'; "
                f"there are: {', '.join(self._specifications)}"
            )
        parameters = [
            self._specifications[name].to_ros(self._specifications[name].parse(value))
            for name, value in changes.items()
        ]
        result = self._node.set_parameters_atomically(parameters)
        if not result.successful:
            raise ParameterError(result.reason)

    def _declare(self, specification: Specification) -> Any:
        """Declare a parameter provisionally and return the value to start with."""
        declared = self._node.declare_parameter(
            specification.name,
            specification.to_ros(specification.default).value,
            ParameterDescriptor(dynamic_typing=True),
        )
        return specification.parse(declared.value)

    def _build(self, values: Mapping[str, Any]) -> T:
        """Make the configuration, nested as its classes are.

        Raises
        ------
        ParameterError
            If the values do not go together.

        """
        try:
            config = _build(self._config_class, values, prefix="")
            if self._check is not None:
                self._check(config)
        except ParameterError:
            raise
        except ValueError as error:
            raise ParameterError(str(error)) from error
        return cast("T", config)

    def _changed(self, parameters: Iterable[Parameter]) -> T:
        """Make the configuration that these changes lead to."""
        values = _flatten(self._value)
        for each in parameters:
            # The batch may hold parameters of others, as use_sim_time.
            if each.name not in self._specifications:
                continue
            if each.type_ == Parameter.Type.NOT_SET:
                raise ParameterError(f"parameter '{each.name}' cannot be deleted")
            values[each.name] = self._specifications[each.name].parse(each.value)
        return self._build(values)

    def _with_exact_types(self, parameters: list[Parameter]) -> list[Parameter]:
        """Give each value that is allowed the ROS type it will be shown with."""
        return [self._with_exact_type(each) for each in parameters]

    def _with_exact_type(self, parameter: Parameter) -> Parameter:
        specification = self._specifications.get(parameter.name)
        if specification is None or parameter.type_ == Parameter.Type.NOT_SET:
            return parameter
        try:
            return specification.to_ros(specification.parse(parameter.value))
        except ParameterError:
            return parameter  # to be refused later, with a reason

    def _on_set(self, parameters: list[Parameter]) -> SetParametersResult:
        own = [each for each in parameters if each.name in self._specifications]
        try:
            self._changed(own)
        except ParameterError as error:
            for each in own:
                # With dynamic typing rclpy has already noted the refused value's type.
                stored = self._node.get_parameter(each.name)
                self._node.describe_parameter(each.name).type = stored.type_.value
            return SetParametersResult(successful=False, reason=str(error))
        if not self._has_post_set:
            self._apply(own)
        return SetParametersResult(successful=True)

    def _apply(self, parameters: list[Parameter]) -> None:
        old, self._value = self._value, self._changed(parameters)
        if self._on_change is not None and old != self._value:
            self._on_change(old, self._value)

    def _warn_of_unknown_overrides(self) -> None:
        """Tell of a misspelt parameter: rclpy drops it without a word."""
        # There is no public way to list them.
        for name in getattr(self._node, "_parameter_overrides", {}):
            if not self._node.has_parameter(name) and not name.startswith(_FOREIGN_OVERRIDES):
                close = get_close_matches(name, self._specifications, n=1)
                hint = (
                    f"did you mean '{close[0]}'?"
                    if close
                    else (f"there are: {', '.join(self._specifications)}")
                )
                self._node.get_logger().warning(f"there is no parameter '{name}'; {hint}")


def _is_frozen_dataclass(candidate: Any) -> bool:
    parameters = getattr(candidate, "__dataclass_params__", None)
    return parameters is not None and bool(parameters.frozen)


def _is_supported(field_type: Any) -> bool:
    if typing.get_origin(field_type) is tuple:
        item, *others = typing.get_args(field_type)
        return item in _LIST_TYPES and others == [Ellipsis]
    if isinstance(field_type, type) and issubclass(field_type, Enum):
        return all(isinstance(member.value, str) for member in field_type)
    return field_type in (bool, int, float, str)


def _plain(value: Any) -> Any:
    return value.value if isinstance(value, Enum) else value


def _build(config_class: type[Any], values: Mapping[str, Any], prefix: str) -> Any:
    types = typing.get_type_hints(config_class)
    return config_class(
        **{
            each.name: _build(types[each.name], values, f"{prefix}{each.name}.")
            if dataclasses.is_dataclass(types[each.name])
            else values[prefix + each.name]
            for each in dataclasses.fields(config_class)
        }
    )


def _flatten(config: Any, prefix: str = "") -> dict[str, Any]:
    values: dict[str, Any] = {}
    for each in dataclasses.fields(config):
        value = getattr(config, each.name)
        if dataclasses.is_dataclass(value):
            values.update(_flatten(value, f"{prefix}{each.name}."))
        else:
            values[prefix + each.name] = value
    return values
