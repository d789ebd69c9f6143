"""Messages of any number of subscriptions wake one thread, without Python in between."""

from __future__ import annotations

import ctypes

_SEMAPHORE_BYTES = 64
"""More than ``sem_t`` takes anywhere: 32 in glibc and musl on 64-bit machines."""


class ArrivalSemaphore:
    """A POSIX semaphore that C code can post by itself.

    The middleware calls a function of type ``void (*)(const void *, size_t)`` from its receiving
    thread when a message arrives.  ``sem_post`` serves as that function: in the calling
    conventions of x86-64 and AArch64 a second argument that is not looked at, and a result that
    is not used, do no harm.  So the receiving thread never has to wait for the GIL, and no wait
    set is filled anew for each message.

    Attributes
    ----------
    address
        Where the semaphore is: first argument of the call.
    post_function
        Where ``sem_post`` is.

    """

    def __init__(self) -> None:
        """Make a semaphore that is at zero.

        Raises
        ------
        OSError
            If the C library has no such semaphores.

        """
        libc = ctypes.CDLL(None, use_errno=True)
        try:
            initialise, self._post, self._wait = libc.sem_init, libc.sem_post, libc.sem_wait
        except AttributeError as error:
            raise OSError(f"the C library has no semaphores: {error}") from error
        self._memory = ctypes.create_string_buffer(_SEMAPHORE_BYTES)
        self.address = ctypes.addressof(self._memory)
        initialise.argtypes = (ctypes.c_void_p, ctypes.c_int, ctypes.c_uint)
        self._post.argtypes = self._wait.argtypes = (ctypes.c_void_p,)
        self.post_function = ctypes.cast(self._post, ctypes.c_void_p).value
        if initialise(self.address, 0, 0) != 0:
            raise OSError(ctypes.get_errno(), "sem_init failed")

    def post(self) -> None:
        """Let one wait, present or later, return."""
        self._post(self.address)

    def wait(self) -> None:
        """Wait for a post, without the GIL; a signal may end the wait early."""
        self._wait(self.address)
