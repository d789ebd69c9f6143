"""Frozen dataclasses as ROS parameters."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import Enum
from typing import Any

import pytest
import rclpy
from rcl_interfaces.msg import ParameterType, SetParametersResult
from rclpy.context import Context
from rclpy.lifecycle import LifecycleNode
from rclpy.node import Node
from rclpy.parameter import Parameter
from rclpy.parameter_client import AsyncParameterClient

from jetson_detect.nodes.parameters import (
    ParameterError,
    ParameterSet,
    parameter,
    specifications,
)


class Mode(str, Enum):
    FAST = "fast"
    EXACT = "exact"


@dataclass(frozen=True)
class Quality:
    reliability: str = parameter("best_effort", "Reliability.", choices=("best_effort", "reliable"))
    depth: int = parameter(1, "Messages kept.", range=(1, 100))


@dataclass(frozen=True)
class Config:
    enabled: bool = parameter(True, "Whether it works.")
    rate: float = parameter(30.0, "Images per second.", range=(0.5, 1000))
    lowest: float = parameter(0.2, "Lowest score.", range=(0.0, 1.0))
    highest: float = parameter(0.9, "Highest score.", range=(0.0, 1.0))
    count: int = parameter(3, "How many.", range=(0, 10))
    mode: Mode = parameter(Mode.FAST, "How.")
    model: str = parameter("demo", "Which model.", read_only=True)
    classes: tuple[str, ...] = parameter((), "Classes kept; none for all.")
    sides: tuple[str, ...] = parameter(("left",), "Sides.", choices=("left", "right"))
    scales: tuple[float, ...] = parameter((1.0, 2.0), "Scales.", range=(0, 4))
    flips: tuple[bool, ...] = parameter((False,), "Which are mirrored.")
    levels: tuple[int, ...] = parameter((), "Levels.", range=(-3, 9))
    turns: tuple[int, ...] = parameter((0,), "Turns.", choices=(0, 90))
    image_qos: Quality = parameter(Quality(depth=5), "Images")


@dataclass(frozen=True)
class ReadOnlyGroup:
    qos: Quality = parameter(Quality(), "Images", read_only=True)


@dataclass(frozen=True)
class Unsupported:
    table: dict[str, int] | None = None


@dataclass(frozen=True)
class WrongDefault:
    count: int = parameter(5, "", range=(0, 3))


@dataclass
class Thawed:
    count: int = 5


def in_order(config: Config) -> None:
    if config.lowest > config.highest:
        raise ValueError(f"lowest ({config.lowest}) must not exceed highest ({config.highest})")


MakeNode = Callable[..., Any]


@pytest.fixture
def make_node() -> Iterator[MakeNode]:
    """Make a node with parameters given as on the command line: ``make_node("rate:=5.0")``."""
    contexts: list[Context] = []

    def make(*overrides: str, node_class: type[Any] = Node) -> Any:
        context = Context()
        arguments = [word for each in overrides for word in ("-p", each)]
        rclpy.init(args=["--ros-args", *arguments], context=context)
        contexts.append(context)
        return node_class("configured", context=context, enable_rosout=False)

    yield make
    for context in contexts:
        rclpy.try_shutdown(context=context)


def refusal(node: Node, *parameters: Parameter) -> str:
    """Return why a batch is refused."""
    result = node.set_parameters_atomically(list(parameters))
    assert not result.successful
    return str(result.reason)


def given(**values: Any) -> list[Parameter]:
    return [Parameter(name, value=value) for name, value in values.items()]


@pytest.mark.parametrize("node_class", [Node, LifecycleNode])
def test_without_overrides_the_dataclass_defaults_are_in_force(
    make_node: MakeNode, node_class: type[Any]
) -> None:
    node = make_node(node_class=node_class)
    assert ParameterSet(node, Config).value == Config()
    assert node.get_parameter("rate").value == 30.0
    assert node.get_parameter("mode").value == "fast"
    assert node.get_parameter("image_qos.depth").value == 5


def test_overrides_of_every_type_are_read(make_node: MakeNode) -> None:
    node = make_node(
        "enabled:=false",
        "rate:=5.5",
        "count:=7",
        "mode:=exact",
        "model:=other",
        "classes:=[ball, cup]",
        "sides:=[right, left]",
        "scales:=[0.5]",
        "flips:=[true, false]",
        "levels:=[9, -3]",
        "turns:=[90, 0, 90]",
        "image_qos.reliability:=reliable",
    )
    assert ParameterSet(node, Config).value == Config(
        enabled=False,
        rate=5.5,
        count=7,
        mode=Mode.EXACT,
        model="other",
        classes=("ball", "cup"),
        sides=("right", "left"),
        scales=(0.5,),
        flips=(True, False),
        levels=(9, -3),
        turns=(90, 0, 90),
        image_qos=Quality(reliability="reliable", depth=5),
    )


def test_an_integer_is_a_fine_value_of_a_float(make_node: MakeNode) -> None:
    node = make_node("rate:=5", "scales:=[1, 2]")
    parameters = ParameterSet(node, Config)
    assert parameters.value.rate == 5.0
    assert isinstance(parameters.value.rate, float)
    assert parameters.value.scales == (1.0, 2.0)
    assert node.get_parameter("rate").type_ == Parameter.Type.DOUBLE
    assert node.set_parameters_atomically(given(rate=6)).successful
    assert parameters.value.rate == 6.0
    assert isinstance(parameters.value.rate, float)


LIST_TYPES = {
    "classes": Parameter.Type.STRING_ARRAY,
    "scales": Parameter.Type.DOUBLE_ARRAY,
    "flips": Parameter.Type.BOOL_ARRAY,
    "levels": Parameter.Type.INTEGER_ARRAY,
}


@pytest.mark.parametrize(("name", "ros_type"), LIST_TYPES.items())
def test_a_list_has_the_type_of_its_items_even_without_any(
    make_node: MakeNode, name: str, ros_type: Parameter.Type
) -> None:
    node = make_node(f"{name}:=[]")
    parameters = ParameterSet(node, Config)
    assert getattr(parameters.value, name) == ()
    assert node.get_parameter(name).type_ == ros_type
    example = {"classes": ["a"], "scales": [0.5], "flips": [True, False], "levels": [4, -1]}[name]
    for value in (example, []):
        assert node.set_parameters_atomically([Parameter(name, ros_type, value)]).successful
        assert getattr(parameters.value, name) == tuple(value)
        assert node.get_parameter(name).type_ == ros_type


@pytest.mark.parametrize("empty", ["[]", "['']"])
def test_an_empty_list_of_text_can_be_given_at_start(make_node: MakeNode, empty: str) -> None:
    node = make_node(f"sides:={empty}")
    assert ParameterSet(node, Config).value.sides == ()
    assert node.get_parameter("sides").type_ == Parameter.Type.STRING_ARRAY


@pytest.mark.parametrize(
    "empty",
    [
        Parameter("classes", Parameter.Type.BOOL_ARRAY, []),  # ros2 param set classes "[]"
        Parameter("classes", Parameter.Type.BYTE_ARRAY, []),
        Parameter("classes", Parameter.Type.STRING_ARRAY, []),
        Parameter("classes", Parameter.Type.STRING_ARRAY, [""]),
    ],
    ids=["bool", "byte", "string", "one empty string"],
)
def test_a_list_of_text_can_be_emptied_by_any_empty_list(
    make_node: MakeNode, empty: Parameter
) -> None:
    node = make_node("classes:=[ball]")
    parameters = ParameterSet(node, Config)
    assert node.set_parameters_atomically([empty]).successful
    assert parameters.value.classes == ()


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("rate:=2000.0", "parameter 'rate' must be a number from 0.5 to 1000, not 2000.0"),
        ("rate:=fast", "parameter 'rate' must be a number from 0.5 to 1000, not 'fast'"),
        ("rate:=true", "parameter 'rate' must be a number from 0.5 to 1000, not True"),
        ("rate:=.nan", "parameter 'rate' must be a number from 0.5 to 1000, not nan"),
        ("rate:=[]", "parameter 'rate' must be a number from 0.5 to 1000, not nothing"),
        ("count:=2.0", "parameter 'count' must be an integer from 0 to 10, not 2.0"),
        ("enabled:=1", "parameter 'enabled' must be true or false, not 1"),
        ("flips:=[1, 0]", "parameter 'flips' must be a list of true and false, not 1"),
        (
            "flips:=true",
            "parameter 'flips' must be a list of true and false, not True; write [true, false]",
        ),
        ("levels:=[0, 10]", "parameter 'levels' must be a list of integers from -3 to 9, not 10"),
        ("levels:=[2.0]", "parameter 'levels' must be a list of integers from -3 to 9, not 2.0"),
        ("levels:=[true]", "parameter 'levels' must be a list of integers from -3 to 9, not True"),
        (
            "levels:=2",
            "parameter 'levels' must be a list of integers from -3 to 9, not 2; write [1, 2]",
        ),
        ("turns:=[0, 45]", "parameter 'turns' must be a list with each item one of 0, 90, not 45"),
        ("mode:=slow", "parameter 'mode' must be one of 'fast', 'exact', not 'slow'"),
        (
            "mode:=off",
            "parameter 'mode' must be one of 'fast', 'exact', not False; "
            "put text that looks like something else into quotes",
        ),
        (
            "model:=5",
            "parameter 'model' must be text, not 5; "
            "put text that looks like something else into quotes",
        ),
        (
            "classes:=ball",
            "parameter 'classes' must be a list of texts, not 'ball'; "
            "write ['a', 'b'], or [''] for none",
        ),
        (
            "classes:=[1, 2]",
            "parameter 'classes' must be a list of texts, not 1; "
            "put text that looks like something else into quotes",
        ),
        (
            "sides:=[left, up]",
            "parameter 'sides' must be a list with each item one of 'left', 'right', not 'up'",
        ),
        ("scales:=[9.0]", "parameter 'scales' must be a list of numbers from 0 to 4, not 9.0"),
        (
            "scales:=1.0",
            "parameter 'scales' must be a list of numbers from 0 to 4, not 1.0; write [1.0, 2.0]",
        ),
        (
            "image_qos.depth:=0",
            "parameter 'image_qos.depth' must be an integer from 1 to 100, not 0",
        ),
        ("lowest:=0.95", "lowest (0.95) must not exceed highest (0.9)"),
    ],
)
def test_a_wrong_override_is_refused_with_name_value_and_remedy(
    make_node: MakeNode, override: str, message: str
) -> None:
    node = make_node(override)
    with pytest.raises(ParameterError) as caught:
        ParameterSet(node, Config, check=in_order)
    assert str(caught.value) == message


@pytest.mark.parametrize(
    ("name", "value", "reason"),
    [
        ("mode", "slow", "parameter 'mode' must be one of 'fast', 'exact', not 'slow'"),
        ("enabled", "yes", "parameter 'enabled' must be true or false, not 'yes'"),
        ("rate", "fast", "parameter 'rate' must be a number from 0.5 to 1000, not 'fast'"),
        ("rate", 5000.0, "Parameter rate out of range"),
        ("rate", 5000, "5000"),
        ("model", "other", "read-only parameter: model"),
        ("lowest", 0.95, "lowest (0.95) must not exceed highest (0.9)"),
    ],
)
def test_a_refused_change_says_what_is_allowed_and_changes_nothing(
    make_node: MakeNode, name: str, value: Any, reason: str
) -> None:
    node = make_node()
    parameters = ParameterSet(node, Config, check=in_order)
    type_before = node.describe_parameter(name).type
    assert reason in refusal(node, Parameter(name, value=value))
    assert parameters.value == Config()
    assert node.get_parameter(name).value != value
    assert node.describe_parameter(name).type == type_before


def test_a_batch_is_taken_or_refused_as_a_whole(make_node: MakeNode) -> None:
    node = make_node()
    changes: list[tuple[Config, Config]] = []
    parameters = ParameterSet(
        node, Config, on_change=lambda old, new: changes.append((old, new)), check=in_order
    )
    assert "mode" in refusal(node, *given(count=4, mode="slow"))
    assert parameters.value == Config()
    # Each alone would be out of order on the way; together they are fine.
    assert node.set_parameters_atomically(given(lowest=0.95, highest=1.0)).successful
    assert changes == [(Config(), Config(lowest=0.95, highest=1.0))]
    assert parameters.value is changes[0][1]


def test_a_change_to_the_same_value_is_no_change(make_node: MakeNode) -> None:
    node = make_node()
    changes: list[Any] = []
    ParameterSet(node, Config, on_change=lambda *configs: changes.append(configs))
    assert node.set_parameters_atomically(given(count=3)).successful
    assert changes == []


def test_a_change_that_another_callback_refuses_is_not_applied(make_node: MakeNode) -> None:
    node = make_node()
    if not hasattr(node, "add_post_set_parameters_callback"):
        return  # Humble cannot know
    parameters = ParameterSet(node, Config)
    refused = SetParametersResult(successful=False, reason="not today")
    node.add_on_set_parameters_callback(lambda _: refused)
    assert refusal(node, *given(count=4)) == "not today"
    assert parameters.value == Config()


def test_parameters_of_others_pass_unseen(make_node: MakeNode) -> None:
    node = make_node()
    parameters = ParameterSet(node, Config)
    node.declare_parameter("others", 1)
    assert node.set_parameters_atomically(given(others=2, count=4)).successful
    assert parameters.value.count == 4


def test_a_parameter_cannot_be_deleted(make_node: MakeNode) -> None:
    node = make_node()
    ParameterSet(node, Config)
    assert refusal(node, Parameter("classes")) == "parameter 'classes' cannot be deleted"
    assert node.get_parameter("classes").value == [""]


def test_the_node_can_change_parameters_itself_and_others_see_it(make_node: MakeNode) -> None:
    node = make_node()
    changes: list[tuple[Config, Config]] = []
    parameters = ParameterSet(node, Config, on_change=lambda *configs: changes.append(configs))
    parameters.set(**{"mode": Mode.EXACT, "image_qos.depth": 2})
    assert parameters.value.mode is Mode.EXACT
    assert parameters.value.image_qos.depth == 2
    assert node.get_parameter("mode").value == "exact"
    assert len(changes) == 1


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"modle": "x"}, "there is no parameter 'modle'; there are: enabled, rate, lowest, "),
        ({"count": 11}, "parameter 'count' must be an integer from 0 to 10, not 11"),
        ({"model": "x"}, "read-only parameter: model"),
    ],
)
def test_the_node_cannot_change_parameters_to_what_is_not_allowed(
    make_node: MakeNode, changes: dict[str, Any], message: str
) -> None:
    parameters = ParameterSet(make_node(), Config)
    with pytest.raises(ParameterError) as caught:
        parameters.set(**changes)
    assert message in str(caught.value)
    assert parameters.value == Config()


def test_descriptors_tell_tools_what_is_allowed(make_node: MakeNode) -> None:
    node = make_node()
    ParameterSet(node, Config)
    rate, mode, model, depth, flips, levels, turns = node.describe_parameters(
        ["rate", "mode", "model", "image_qos.depth", "flips", "levels", "turns"]
    )
    assert rate.description == "Images per second."
    assert rate.type == ParameterType.PARAMETER_DOUBLE
    assert (rate.floating_point_range[0].from_value, rate.floating_point_range[0].to_value) == (
        0.5,
        1000.0,
    )
    assert mode.description == "How. One of: fast, exact."
    assert model.description == (
        "Which model. Read-only after start: restart the node to change it."
    )
    assert model.read_only
    assert depth.description == "Images: Messages kept."
    assert (depth.integer_range[0].from_value, depth.integer_range[0].to_value) == (1, 100)
    assert flips.type == ParameterType.PARAMETER_BOOL_ARRAY
    assert levels.type == ParameterType.PARAMETER_INTEGER_ARRAY
    assert (levels.integer_range[0].from_value, levels.integer_range[0].to_value) == (-3, 9)
    assert turns.description == "Turns. One of: 0, 90."


def test_a_group_may_be_read_only_as_a_whole(make_node: MakeNode) -> None:
    node = make_node("qos.depth:=7")
    assert ParameterSet(node, ReadOnlyGroup).value.qos.depth == 7
    assert node.describe_parameter("qos.depth").read_only


def test_a_misspelt_override_is_told(
    make_node: MakeNode, capfd: pytest.CaptureFixture[str]
) -> None:
    ParameterSet(make_node("moddel:=x", "use_sim_time:=false"), Config)
    written = "".join(capfd.readouterr())
    assert "there is no parameter 'moddel'; did you mean 'model'?" in written
    assert "use_sim_time" not in written


@pytest.mark.parametrize(
    ("config_class", "error", "message"),
    [
        (
            Unsupported,
            TypeError,
            "Unsupported.table: dict[str, int] | None cannot be a ROS parameter",
        ),
        (WrongDefault, ParameterError, "parameter 'count' must be an integer from 0 to 3, not 5"),
        (Thawed, TypeError, "Thawed must be a frozen dataclass"),
    ],
)
def test_a_mistake_in_the_dataclass_is_told(
    config_class: type[Any], error: type[Exception], message: str
) -> None:
    with pytest.raises(error) as caught:
        specifications(config_class)
    assert message in str(caught.value)


@pytest.mark.dds
def test_parameter_services_see_and_change_what_is_in_force(graph: Any) -> None:
    node = Node("configured", context=graph.context)
    graph.executor.add_node(node)
    parameters = ParameterSet(node, Config, check=in_order)
    client = AsyncParameterClient(graph.node("tool"), "configured")
    graph.spin_until(client.services_are_ready, what="the parameter services")

    def call(method: Callable[..., Any], *arguments: Any) -> Any:
        future = method(*arguments)
        graph.spin_until(future.done, what=method.__name__)
        return future.result()

    results = call(client.set_parameters, given(rate=7, mode="slow")).results
    assert [each.successful for each in results] == [True, False]
    assert results[1].reason == "parameter 'mode' must be one of 'fast', 'exact', not 'slow'"
    assert parameters.value.rate == 7.0
    result = call(client.set_parameters_atomically, given(lowest=0.95, highest=1.0)).result
    assert result.successful
    assert parameters.value.highest == 1.0
    values = call(client.get_parameters, ["rate", "highest", "classes"]).values
    assert values[0].double_value == 7.0
    assert values[1].double_value == 1.0
    assert list(values[2].string_array_value) == [""]
