"""The services of the builder node; what takes long runs on a thread, and the node goes on."""

from __future__ import annotations

from collections.abc import Callable

from rclpy.callback_groups import ReentrantCallbackGroup
from rclpy.lifecycle import LifecycleNode
from std_srvs.srv import Trigger

from jetson_detect.nodes.aside import run_aside

Answer = tuple[bool, str]
"""Whether it worked, and a sentence."""


class EngineServices:
    """``~/build``, ``~/cancel`` and ``~/verify``, ``std_srvs/Trigger``.

    They are there for as long as the node is, in each state of its life cycle.
    """

    def __init__(
        self,
        node: LifecycleNode,
        build: Callable[[], Answer],
        cancel: Callable[[], Answer],
        verify: Callable[[], Answer],
    ) -> None:
        """Offer the services.

        Parameters
        ----------
        node:
            The builder's node.
        build:
            Answers at once; called on the executor's thread.
        cancel, verify:
            May take seconds; each is called on a thread of its own and raises nothing.

        """
        self._node = node
        # While one of them is awaited, the others and the rest of the node are served.
        group = ReentrantCallbackGroup()

        def on_build(request: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
            response.success, response.message = build()
            return response

        node.create_service(Trigger, "~/build", on_build, callback_group=group)
        for name, work in (("~/cancel", cancel), ("~/verify", verify)):
            node.create_service(Trigger, name, self._aside(work), callback_group=group)

    def _aside(self, work: Callable[[], Answer]) -> Callable[..., object]:
        """Make a callback that answers when a thread has done the work."""

        async def answer(request: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
            response.success, response.message = await run_aside(self._node, work)
            return response

        return answer
