"""A parameter whose change takes seconds to prepare: its setter waits, the node does not."""

from __future__ import annotations

import threading
from collections.abc import Callable
from functools import partial
from typing import Any

from rcl_interfaces.msg import ParameterType
from rcl_interfaces.srv import SetParameters, SetParametersAtomically
from rclpy.callback_groups import ReentrantCallbackGroup
from rclpy.node import Node

from jetson_detect.nodes.aside import run_aside


def prepare_aside(
    node: Node, parameter: str, prepare: Callable[[str], None], done: Callable[[str], None]
) -> None:
    """Have a node's parameter services prepare a change on a thread before they set it.

    rclpy asks its callbacks for a yes or no on the executor's thread, and takes it from there to
    whoever set the parameter: what takes seconds has to have happened before.

    Parameters
    ----------
    node:
        One with parameter services; others of its services and timers go on meanwhile.
    parameter:
        A parameter with text.
    prepare:
        Called with the value that was asked for, on a thread of its own; raises nothing.
    done:
        Called with it on the executor's thread when the parameter was set, or refused.

    """
    # Of the group that a node's services share, only one can be waited for at a time.
    group = ReentrantCallbackGroup()
    # As in that group, also with an executor of several threads.
    setting = threading.Lock()
    for service in node.services:
        if service.srv_type in (SetParameters, SetParametersAtomically):
            service.callback = _prepared(node, service.callback, setting, parameter, prepare, done)
            service.callback_group = group
            group.add_entity(service)


def _prepared(
    node: Node,
    set_parameters: Callable[[Any, Any], Any],
    setting: threading.Lock,
    parameter: str,
    prepare: Callable[[str], None],
    done: Callable[[str], None],
) -> Callable[[Any, Any], Any]:
    async def prepare_and_set(request: Any, response: Any) -> Any:
        values = [
            each.value.string_value
            for each in request.parameters
            if each.name == parameter and each.value.type == ParameterType.PARAMETER_STRING
        ]
        for value in values:
            await run_aside(node, partial(prepare, value))
        try:
            with setting:
                return set_parameters(request, response)
        finally:
            for value in values:
                done(value)

    return prepare_and_set
