"""What the managed nodes of this package share: starting, giving back, and saying what failed."""

from __future__ import annotations

import traceback
from abc import abstractmethod
from collections.abc import Callable
from functools import wraps
from typing import TypeVar

from rclpy.lifecycle import LifecycleNode, State, TransitionCallbackReturn

from jetson_detect.core.backends import BackendError
from jetson_detect.core.engines.cache_folder import CacheError
from jetson_detect.middleware.rcl_library import RclUnavailableError
from jetson_detect.nodes.entry import StartError
from jetson_detect.nodes.library_log import LibraryLog
from jetson_detect.nodes.managed_config import ManagedConfig

N = TypeVar("N", bound="ManagedNode")

_LIFE_CYCLE_ENTITIES = ("_state_machine", "_service_")
"""Attributes of :class:`rclpy.lifecycle.LifecycleNode` that hold a part of the middleware."""

_USERS_TO_MEND = (ValueError, BackendError, CacheError, RclUnavailableError)
"""ModelError and ParameterError among them."""


def reports_failure(
    transition: Callable[[N, State], TransitionCallbackReturn],
) -> Callable[[N, State], TransitionCallbackReturn]:
    """Log what stops a transition: rclpy turns an exception into a return code, in silence."""

    @wraps(transition)
    def reporting(node: N, state: State) -> TransitionCallbackReturn:
        try:
            return transition(node, state)
        except _USERS_TO_MEND as error:
            text = str(error)
        except Exception:
            text = traceback.format_exc()
        if node.context.ok():  # else the process was told to stop, and that is why it failed
            node.get_logger().error(f"{transition.__name__}: {text}")
        # On to on_error, which gives everything back and ends unconfigured.
        return TransitionCallbackReturn.ERROR

    return reporting


class ManagedNode(LifecycleNode):
    """A node that starts by itself or by a life cycle manager, and gives back what it took."""

    def __init__(self, node_name: str, **arguments: object) -> None:
        """Make the node.

        Parameters
        ----------
        node_name, arguments:
            As for :class:`rclpy.node.Node`.

        """
        super().__init__(node_name, **arguments)
        self._library_log = LibraryLog(self)

    @property
    @abstractmethod
    def config(self) -> ManagedConfig:
        """The parameters in force."""

    @abstractmethod
    def _stop(self) -> None:
        """End what activating began; without effect when nothing is active."""

    @abstractmethod
    def _release(self) -> None:
        """Give back what configuring made; without effect when nothing is configured."""

    def start(self) -> None:
        """Configure and activate, if the node starts by itself.

        Raises
        ------
        StartError
            If either fails; the log tells why.

        """
        if not self.config.autostart:
            self.get_logger().info("waiting to be configured (autostart is false)")
            return
        for trigger in (self.trigger_configure, self.trigger_activate):
            if trigger() != TransitionCallbackReturn.SUCCESS:
                raise StartError(f"{self.get_name()} did not start; see the error above")

    def on_deactivate(self, state: State) -> TransitionCallbackReturn:
        """Stop what runs."""
        self._stop()
        result: TransitionCallbackReturn = super().on_deactivate(state)
        return result

    def on_cleanup(self, state: State) -> TransitionCallbackReturn:
        """Give everything back."""
        self._release()
        return TransitionCallbackReturn.SUCCESS

    def on_shutdown(self, state: State) -> TransitionCallbackReturn:
        """Give everything back."""
        self._stop()
        self._release()
        return TransitionCallbackReturn.SUCCESS

    def on_error(self, state: State) -> TransitionCallbackReturn:
        """Give everything back, so that the node can be configured again."""
        self._stop()
        self._release()
        return TransitionCallbackReturn.SUCCESS

    def destroy_node(self) -> None:
        """Give everything back and end the node."""
        self._stop()
        self._release()
        self._library_log.close()
        super().destroy_node()
        # rclpy leaves the life cycle's services to the garbage collector: until it comes, they are
        # still offered, and swallow what others ask.
        for name in [name for name in vars(self) if name.startswith(_LIFE_CYCLE_ENTITIES)]:
            delattr(self, name)
