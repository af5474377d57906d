# SPDX-License-Identifier: LGPL-2.1-or-later OR MIT
"""NumPy's arrays in bmem: a memory handler (NEP 49), for NumPy 1.22 or later.

    import bmem.numpy

    bmem.numpy.install()            # from here on, in this thread
    with bmem.numpy.handler():      # or only in a block
        a = numpy.zeros((1024, 1024))

NumPy's handler belongs to the context of the thread: a new thread, and a new
asyncio task's copy of a context that had none, begins with NumPy's own.  Call
install() at the beginning of each thread that is to have it; for a pool of
threads

    concurrent.futures.ThreadPoolExecutor(initializer=bmem.numpy.install)

An array keeps the memory that it was made with, and gives it back to where it
came from, in whichever thread that happens.  Small arrays stay with malloc().
"""

import ctypes
from contextlib import contextmanager

from . import _lib
from ._client import client

__all__ = ["THRESHOLD", "counts", "handler", "install", "installed",
           "uninstall"]

#: Arrays of so many bytes or more become tensors.
THRESHOLD = 64 << 10

#: Where NumPy's table of functions has them, since 1.22; it only ever grows.
_SET_HANDLER = 304
_GET_HANDLER = 305

_native = None
_capsule = None
_api = None
_threshold = THRESHOLD


def _numpy_table():
    """NumPy's table of functions, and a check that it has what is needed."""
    import numpy
    version = tuple(int(part) for part in numpy.__version__.split(".")[:2])
    if version < (1, 22):
        raise ImportError("bmem.numpy needs NumPy 1.22 or later, not "
                          + numpy.__version__)
    if version[0] >= 2:
        from numpy._core import _multiarray_umath
    else:
        from numpy.core import _multiarray_umath
    pointer = ctypes.pythonapi.PyCapsule_GetPointer
    pointer.restype = ctypes.c_void_p
    pointer.argtypes = [ctypes.py_object, ctypes.c_char_p]
    table = pointer(_multiarray_umath._ARRAY_API, None)
    return ctypes.cast(table, ctypes.POINTER(ctypes.c_void_p))


class _Api:
    """PyDataMem_SetHandler() and PyDataMem_GetHandler()."""

    def __init__(self):
        table = _numpy_table()
        self._set = ctypes.PYFUNCTYPE(ctypes.py_object, ctypes.c_void_p)(
            table[_SET_HANDLER])
        self.get = ctypes.PYFUNCTYPE(ctypes.py_object)(table[_GET_HANDLER])

    def set(self, capsule):
        """The handler that was; None stands for NumPy's own."""
        return self._set(None if capsule is None else id(capsule))


def _numpy():
    global _api
    if _api is None:
        _api = _Api()
    return _api


def _handler(threshold):
    """The capsule that stands for bmem; of which there is one."""
    global _native, _capsule, _threshold
    if threshold < 0:
        raise ValueError(f"threshold {threshold} is negative")
    if not _native:
        _native = _lib.native()
    pointer = _native.bmem_numpy_handler(client(), _lib.bounded(threshold))
    _threshold = threshold
    if not _capsule:
        new = ctypes.pythonapi.PyCapsule_New
        new.restype = ctypes.py_object
        new.argtypes = [ctypes.c_void_p] * 3
        _capsule = new(pointer, _native.bmem_numpy_name(), None)
    return _capsule


def install(threshold=THRESHOLD):
    """Have arrays that this thread makes from now on in bmem.

    threshold   from so many bytes on; holds for all threads

    May be called again.  Returns nothing, so that it serves as the initializer
    of a pool of threads.
    """
    _numpy().set(_handler(threshold))


def uninstall():
    """Have arrays that this thread makes from now on where NumPy puts them."""
    _numpy().set(None)


def installed():
    """Does this thread make its arrays in bmem?"""
    return _capsule is not None and _numpy().get() is _capsule


@contextmanager
def handler(threshold=THRESHOLD):
    """A with block whose arrays are in bmem; what was before is so again.

    threshold   from so many bytes on; holds for all threads, up to its end
    """
    numpy, had = _numpy(), _threshold
    before = numpy.set(_handler(threshold))
    try:
        yield
    finally:
        numpy.set(before)
        _handler(had)


def counts():
    """How many arrays became tensors, and how many found no room."""
    if not _native:
        return 0, 0
    raw = (ctypes.c_uint64 * 2)()
    _native.bmem_numpy_counts(raw)
    return tuple(raw)
