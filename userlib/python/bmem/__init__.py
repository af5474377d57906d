# SPDX-License-Identifier: LGPL-2.1-or-later OR MIT
"""bmem: tensor memory that is accounted for exactly.

The memory of large arrays and tensors comes from bmem's pools of huge pages,
where the kernel keeps the books: who holds what, how much, how old, and which
line of the program allocated it.  Without the kernel module the same works on
memory of the process itself.

    import bmem, bmem.numpy, bmem.torch

    bmem.torch.install()            # PyTorch's storages of 64 KiB or more
    with bmem.numpy.handler():      # NumPy's arrays made in this block
        ...
    with bmem.scope("kv-cache"):    # name what is allocated here
        ...

    print(bmem.stats())             # sums
    for site in bmem.live():        # what is live, by call site
        print(site)
    for site in bmem.leaks():       # the same of what is older than a minute
        print(site)

    with bmem.no_leaks():           # in a test: what stays is an error
        ...

    bmem.on_pressure(lambda level, held: cache.clear())     # before it is full

    b = bmem.alloc((1024, 1024), "float32")     # memory for everybody:
    a = numpy.asarray(b)                        # the same, in place
    t = torch.from_dlpack(b)

Unmodified programs need none of this: bmem-run(1) puts the memory of any
program into bmem, and names Python's lines as well.  In a program that runs
under it, this module is about that memory.

Call sites are "file:line" of the innermost frame and of the innermost frames
outside of libraries, for everything from 64 KiB on, with CPython 3.11, 3.13 and
3.14.

A process that forks: children have copies of all memory, as with malloc(),
where the library and the module know how (see BMEM_OPEN_PRIVATE in bmem.h);
else they share it.
"""

from ._buffer import Buffer, alloc
from ._client import configure
from ._events import on_pressure
from ._lib import Error, OutOfMemory
from ._lib import lib as _libbmem
from ._reports import (LeftBehind, Site, Stats, leaks, live, no_leaks,
                       stats)

__all__ = ["Buffer", "Error", "LeftBehind", "OutOfMemory", "Site", "Stats",
           "alloc", "configure", "leaks", "live", "no_leaks", "on_pressure",
           "scope", "stats", "trim"]


class scope:
    """Name what the calling thread allocates in a with block.

    with bmem.scope("decoder"):
        with bmem.scope("kv-cache"):
            cache = torch.zeros(...)    # from "decoder/kv-cache @ model.py:12"

    Scopes are the thread's: other threads, also those that PyTorch starts for
    its own work, are not in it.
    """

    def __init__(self, name):
        self._name = str(name).encode()

    def __enter__(self):
        _libbmem.bmem_scope_push(self._name)
        return self

    def __exit__(self, *exception):
        _libbmem.bmem_scope_pop()


def trim(keep=0):
    """Give back memory that holds no tensor, but for so many bytes.

    Returns how many bytes went back.
    """
    from . import _client, _lib
    trimmed = _lib.c_uint64()
    _lib.check(_lib.lib.bmem_trim(_client.client(), _lib.bounded(keep), 0,
                                  _lib.byref(trimmed)))
    return trimmed.value
