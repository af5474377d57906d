# SPDX-License-Identifier: LGPL-2.1-or-later OR MIT
"""PyTorch's tensors of the CPU in bmem.

    import bmem.torch

    bmem.torch.install()

Storages of 64 KiB or more that are made from then on, by any thread, are
tensors of bmem; the profiler sees them as it sees others.  Not among them:
torch.load(mmap=True), torch.from_numpy(), share_memory_() and scratch memory
that oneDNN and others take from malloc(); bmem-run(1) has the last.
"""

import ctypes
import os

from . import _lib
from ._client import client

__all__ = ["THRESHOLD", "counts", "install", "uninstall"]

#: Storages of so many bytes or more become tensors.
THRESHOLD = 64 << 10

_shim = None


def _form(version):
    """Which form c10::Allocator has: 1 without copy_data, 2 with; or None."""
    if (1, 9) <= version < (2, 1):
        return 1
    if (2, 3) <= version < (3, 0):
        return 2
    return None


def _shims():
    here = os.path.dirname(os.path.abspath(__file__))
    return {form: os.path.join(here, f"_torch{form}.so") for form in (1, 2)
            if os.path.exists(os.path.join(here, f"_torch{form}.so"))}


def _choose(version_text, have):
    """The file for a PyTorch, or an ImportError that says what to do."""
    version = tuple(int(part) for part in version_text.split(".")[:2])
    form = _form(version)
    if form is None:
        raise ImportError(f"bmem.torch does not know the allocator of PyTorch "
                          f"{version_text}, only of 1.9 to 2.0 and from 2.3 "
                          "on; bmem-run works with any")
    if form not in have:
        built = "; ".join(f"{path} is there" for path in have.values())
        raise ImportError(f"bmem.torch was not built for PyTorch "
                          f"{version_text}: build bmem where its headers are "
                          f"(Debian: libtorch-dev), which makes _torch{form}.so"
                          + (f"; {built}" if built else ""))
    return have[form]


def _libc10():
    """The libc10 that PyTorch has loaded, its names made known to all."""
    with open("/proc/self/maps", encoding="ascii",
              errors="surrogateescape") as maps:
        for line in maps:
            path = line.rstrip("\n").split(maxsplit=5)[-1]
            name = os.path.basename(path)
            if name.startswith("libc10.so"):
                return ctypes.CDLL(path, mode=ctypes.RTLD_GLOBAL)
    raise ImportError("PyTorch is loaded, but no libc10.so is")


def _load():
    global _shim
    if _shim is None:
        import torch
        path = _choose(torch.__version__, _shims())
        _libc10()
        shim = ctypes.CDLL(path)
        shim.bmem_torch_install.argtypes = [ctypes.c_void_p, ctypes.c_size_t]
        shim.bmem_torch_counts.argtypes = [ctypes.POINTER(ctypes.c_uint64)]
        shim.bmem_torch_counts.restype = None
        _shim = shim
    return _shim


def install(threshold=THRESHOLD):
    """Have the storages that PyTorch makes from now on in bmem.

    threshold   from so many bytes on

    May be called again.  Raises ImportError where this build does not fit the
    PyTorch that is installed, RuntimeError where somebody else's allocator
    insists.
    """
    if threshold < 0:
        raise ValueError(f"threshold {threshold} is negative")
    if _load().bmem_torch_install(client(), _lib.bounded(threshold)):
        raise RuntimeError("another allocator for the CPU has a higher "
                           "priority and stays")


def uninstall():
    """Have new storages where PyTorch puts them; those in bmem stay there."""
    if _shim:
        _shim.bmem_torch_uninstall()


def counts():
    """How many storages became tensors, and how many found no room."""
    if not _shim:
        return 0, 0
    raw = (ctypes.c_uint64 * 2)()
    _shim.bmem_torch_counts(raw)
    return tuple(raw)
