# SPDX-License-Identifier: LGPL-2.1-or-later OR MIT
"""Being told that memory becomes short."""

import atexit
import ctypes
import errno

from . import _lib
from ._client import client

PRESSURE = 1


class Event(_lib.Structure):
    _fields_ = [("size", _lib.c_uint32), ("type", _lib.c_uint32),
                ("serial", _lib.c_uint64), ("lost", _lib.c_uint64),
                ("time_ns", _lib.c_uint64), ("client_id", _lib.c_uint64),
                ("pool", _lib.c_uint32), ("level", _lib.c_uint32),
                ("bytes", _lib.c_uint64), ("arg", _lib.c_uint64)]


_Function = ctypes.CFUNCTYPE(None, _lib.c_void_p, _lib.POINTER(Event),
                             _lib.c_void_p)
# What C calls has to stay: also when it is removed while it runs.
_functions = []
_prototypes = {
    "bmem_on_event": (_lib.c_int, _lib.c_void_p, _lib.c_uint64, _Function,
                      _lib.c_void_p),
    "bmem_events_start": (_lib.c_int, _lib.c_void_p),
    "bmem_events_stop": (_lib.c_int, _lib.c_void_p),
}


class Handler:
    """What on_pressure() answers: remove() ends it, as does a with block."""

    def __init__(self, function):
        self._function = function

    def remove(self):
        """Have it called no more; twice is no mistake."""
        if self._function:
            ret = _lib.lib.bmem_on_event(client(), 0, self._function, None)
            if ret != -errno.ENOENT:
                _lib.check(ret)
            self._function = None

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        self.remove()


def _stop():
    # Its thread must not come into an interpreter that is being taken down.
    _lib.lib.bmem_events_stop(client())


def on_pressure(function, level=2):
    """Have a function called when memory becomes short, or is no more.

    function   called with the level, 0 to 4, and the bytes held by the pool,
               whenever the level changes and is at least @level, or was
    level      1 above 70 % of the pool's limit, 2 above 80, 3 above 90, 4
               above 95

    Called in a thread of the library, which takes the interpreter's lock: it
    may drop caches and collect garbage, and what it frees goes back at once.
    A child of fork() begins without.  Returns a Handler.
    """
    def call(_client, event, _arg):
        e = event.contents
        if max(e.level, e.arg) >= level:
            function(e.level, e.bytes)

    if not _functions:
        _lib._declare(_lib.lib, _prototypes)
        atexit.register(_stop)
    thunk = _Function(call)
    _functions.append(thunk)
    _lib.check(_lib.lib.bmem_on_event(client(), 1 << PRESSURE, thunk, None))
    ret = _lib.lib.bmem_events_start(client())
    if ret != -errno.EBUSY:
        _lib.check(ret)
    return Handler(thunk)
