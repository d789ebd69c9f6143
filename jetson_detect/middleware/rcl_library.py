"""The functions of rcl that rclpy offers in a slower form only, through ctypes."""

from __future__ import annotations

import ctypes
import functools
import os
from typing import Any

# Loads librcl.
from rclpy.impl.implementation_singleton import rclpy_implementation

from jetson_detect.middleware.arrival_semaphore import ArrivalSemaphore

_RCL_RET_OK = 0
_RCL_RET_SUBSCRIPTION_TAKE_FAILED = 401
"""Of ``rcl/types.h``; the latter without an error: there is no message."""

_ERROR_TEXT_BYTES = 1024
"""``RCUTILS_ERROR_MESSAGE_MAX_LENGTH``."""

_POINTER = ctypes.c_void_p


class _ErrorText(ctypes.Structure):
    """``rcutils_error_string_t``, which is returned by value."""

    _fields_ = (("text", ctypes.c_char * _ERROR_TEXT_BYTES),)


_SIGNATURES: dict[str, tuple[Any, tuple[Any, ...]]] = {
    "rcl_take": (ctypes.c_int32, (_POINTER, _POINTER, _POINTER, _POINTER)),
    "rcl_subscription_set_on_new_message_callback": (
        ctypes.c_int32,
        (_POINTER, _POINTER, _POINTER),
    ),
    "rcl_subscription_get_topic_name": (ctypes.c_char_p, (_POINTER,)),
    "rcutils_get_error_string": (_ErrorText, ()),
    "rcutils_reset_error": (None, ()),
}
"""As in the headers of Humble to Kilted, where they are the same; result, then arguments."""


class RclError(RuntimeError):
    """A call of rcl that failed."""


class RclUnavailableError(RuntimeError):
    """rcl cannot be used this way here; the message says why."""


class RclLibrary:
    """What is called in librcl.

    Subscriptions are rclpy's.  Their handles are held during each call, so that nobody destroys
    them meanwhile; with a handle that is destroyed already each method raises
    ``rclpy.exceptions.InvalidHandle``.
    """

    def __init__(self, library: Any) -> None:
        """Declare the functions of a loaded librcl.

        Raises
        ------
        RclUnavailableError
            If the library lacks one.

        """
        try:
            for name, (result, arguments) in _SIGNATURES.items():
                function = getattr(library, name)
                function.restype, function.argtypes = result, arguments
        except AttributeError as error:
            raise RclUnavailableError(f"librcl lacks a function: {error}") from error
        self._library = library
        self._take = library.rcl_take

    def check_subscription(self, subscription: Any) -> None:
        """Make sure that rcl knows a subscription by the pointer that rclpy tells.

        Raises
        ------
        RclUnavailableError
            If rclpy tells no pointer, or rcl sees another subscription there.

        """
        handle = subscription.handle
        with handle:
            pointer = getattr(handle, "pointer", None)
            if not isinstance(pointer, int):
                raise RclUnavailableError("this rclpy does not tell where its handles point to")
            seen = self._library.rcl_subscription_get_topic_name(pointer)
        expected = subscription.topic_name
        if seen is None or seen.decode(errors="replace") != expected:
            self._reset_error()
            raise RclUnavailableError(f"rcl sees topic {seen!r} where rclpy has '{expected}'")

    def post_arrivals(self, subscription: Any, semaphore: ArrivalSemaphore) -> None:
        """Have the middleware post a semaphore for new messages, and for those that wait now.

        Raises
        ------
        RclUnavailableError
            If the middleware does not offer this.

        """
        status = self._set_callback(subscription, semaphore.post_function, semaphore.address)
        if status != _RCL_RET_OK:
            raise RclUnavailableError(
                "the middleware tells nothing of new messages: " + self._reset_error()
            )

    def stop_posting(self, subscription: Any) -> None:
        """End what :meth:`post_arrivals` began; none comes after the return."""
        if self._set_callback(subscription, None, None) != _RCL_RET_OK:
            self._reset_error()

    def _set_callback(
        self, subscription: Any, function: int | None, argument: int | None
    ) -> object:
        handle = subscription.handle
        with handle:
            return self._library.rcl_subscription_set_on_new_message_callback(
                handle.pointer, function, argument
            )

    def take(self, subscription: Any, address: int | None) -> bool:
        """Take the oldest message that waits into a C message of its type, without the GIL.

        Returns
        -------
        Whether there was one.

        Raises
        ------
        RclError
            If the middleware fails.

        """
        handle = subscription.handle
        with handle:
            status = self._take(handle.pointer, address, None, None)
        if status == _RCL_RET_OK:
            return True
        if status != _RCL_RET_SUBSCRIPTION_TAKE_FAILED:
            raise RclError(f"taking a message failed ({status}): {self._reset_error()}")
        return False

    def _reset_error(self) -> str:
        """Forget rcl's last error of this thread; return its text."""
        text: bytes = self._library.rcutils_get_error_string().text
        self._library.rcutils_reset_error()
        return text.decode(errors="replace")


@functools.cache
def load_rcl() -> RclLibrary:
    """Return the librcl that rclpy uses.

    Raises
    ------
    RclUnavailableError
        If it is not found or does not fit.

    """
    try:
        # By the name under which it is loaded; no file is looked for.
        library = ctypes.CDLL("librcl.so", mode=os.RTLD_NOLOAD | os.RTLD_NOW)
    except OSError as error:
        raise RclUnavailableError(
            f"{rclpy_implementation.__name__} has not loaded librcl.so: {error}"
        ) from error
    return RclLibrary(library)
