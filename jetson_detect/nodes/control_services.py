"""The services by which a detector is controlled; what each does, parameters do too."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from functools import partial

from rclpy.callback_groups import ReentrantCallbackGroup
from rclpy.lifecycle import LifecycleNode
from std_srvs.srv import SetBool, Trigger

from jetson_detect.nodes.aside import run_aside

Answer = tuple[bool, str]
"""Whether it worked, and a sentence."""


class ControlServices:
    """``~/enable``, ``~/reset_statistics`` and a ``~/use_model/NAME`` for each name.

    They are there for as long as the node is, in each state of its life cycle.
    """

    def __init__(
        self,
        node: LifecycleNode,
        models: Sequence[str],
        *,
        enable: Callable[[bool], Answer],
        reset_statistics: Callable[[], Answer],
        prepare_model: Callable[[str], None],
        use_model: Callable[[str], Answer],
    ) -> None:
        """Offer the services.

        Parameters
        ----------
        node:
            The detector's node.
        models:
            Names of models that may be changed to.
        enable, reset_statistics, use_model:
            Answer at once; called on the executor's thread.
        prepare_model:
            Called before ``use_model``, on a thread of its own; may take seconds and raises
            nothing.

        """

        def on_enable(request: SetBool.Request, response: SetBool.Response) -> SetBool.Response:
            response.success, response.message = enable(request.data)
            return response

        def on_reset(request: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
            response.success, response.message = reset_statistics()
            return response

        async def on_use(
            name: str, request: Trigger.Request, response: Trigger.Response
        ) -> Trigger.Response:
            await run_aside(node, partial(prepare_model, name))
            response.success, response.message = use_model(name)
            return response

        # While a model is loaded, the others and the rest of the node are served.
        group = ReentrantCallbackGroup()
        node.create_service(SetBool, "~/enable", on_enable, callback_group=group)
        node.create_service(Trigger, "~/reset_statistics", on_reset, callback_group=group)
        for name, service in zip(models, service_names(models)):
            node.create_service(
                Trigger, f"~/use_model/{service}", partial(on_use, name), callback_group=group
            )


def service_names(models: Sequence[str]) -> tuple[str, ...]:
    """Spell names of models so that they can be a part of a service's name.

    Raises
    ------
    ValueError
        If two of them would be spelt alike.

    """
    spelt: dict[str, str] = {}
    for model in models:
        # ROS knows letters, digits and underscores there, and no digit in front.
        name = re.sub(r"[^0-9A-Za-z_]", "_", model)
        name = f"_{name}" if name[:1].isdigit() else name
        if spelt.setdefault(name, model) != model:
            raise ValueError(
                f"parameter 'models' has '{spelt[name]}' and '{model}', and both would be the "
                f"service ~/use_model/{name}: rename one of the folders"
            )
    return tuple(spelt)
