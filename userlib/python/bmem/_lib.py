# SPDX-License-Identifier: LGPL-2.1-or-later OR MIT
"""libbmem by ctypes: where it is, its functions and its structures."""

import ctypes
import errno
import os
from ctypes import (CDLL, POINTER, Structure, byref, c_char, c_char_p, c_int,
                    c_int32, c_int64, c_size_t, c_uint, c_uint32, c_uint64,
                    c_void_p)

SONAME = "libbmem.so.0"
LABEL_LEN = 64
BATCH_MAX = 1024
ALLOC_ZERO = 1
STATS_LEDGER = 1 << 1
OPEN_QUIET = 1 << 0
OPEN_CACHE = 1 << 1
OPEN_LEVEL = 1 << 2
OPEN_PRIVATE = 1 << 3
BACKENDS = {"auto": 0, "dev": 1, "memfd": 2}
LEVELS = {"off": 0, "counts": 1, "standard": 2, "full": 3}
SITE_SIZES = 4
SITE_BUCKETS = 16


class Options(Structure):
    _fields_ = [("sz", c_size_t), ("backend", c_uint32), ("pool", c_uint32),
                ("label", c_char_p), ("max_bytes", c_uint64),
                ("cache_bytes", c_uint64), ("flags", c_uint32),
                ("level", c_uint32), ("overhead_permille", c_uint32),
                ("reserved", c_uint32)]


class ClientStats(Structure):
    _fields_ = ([("size", c_uint32), ("flags", c_uint32),
                 ("client_id", c_uint64), ("pool", c_uint32),
                 ("sites", c_uint32)] +
                [(name, c_uint64) for name in (
                    "live_tensors", "live_bytes", "granted_bytes",
                    "attached_bytes", "base_bytes", "cached_bytes",
                    "cache_limit_bytes", "meta_bytes", "peak_live_bytes",
                    "peak_attached_bytes", "allocs", "frees", "failed",
                    "promoted", "escaped_bytes", "slots", "slot_bytes",
                    "spans", "span_bytes", "ledger_bytes", "span_map_bytes",
                    "idle_bytes", "ledger_bad", "recorded")] +
                [("level", c_uint32), ("policy", c_uint32),
                 ("shared_bytes", c_uint64), ("queued_bytes", c_uint64)])


class Tensor(Structure):
    _fields_ = [("handle", c_uint64), ("offset", c_uint64),
                ("bytes", c_uint64), ("granted", c_uint64),
                ("age_ms", c_uint64), ("site", c_uint32), ("flags", c_uint32)]


class TensorList(Structure):
    _fields_ = [("size", c_uint32), ("flags", c_uint32),
                ("client_id", c_uint64), ("cursor", c_uint64),
                ("min_bytes", c_uint64), ("min_age_ms", c_uint64),
                ("site", c_uint32), ("nr", c_uint32), ("entries", c_uint64)]


class SiteRow(Structure):
    _fields_ = [("site", c_uint32), ("site_class", c_uint32),
                ("nr_frames", c_uint32), ("nr_sizes", c_uint32),
                ("live_tensors", c_uint64), ("live_bytes", c_uint64),
                ("peak_bytes", c_uint64), ("allocs", c_uint64),
                ("frees", c_uint64), ("first_ms", c_uint64),
                ("last_ms", c_uint64), ("reuse_ms", c_uint64),
                ("sizes", c_uint64 * SITE_SIZES),
                ("size_hist", c_uint32 * SITE_BUCKETS),
                ("life_hist", c_uint32 * SITE_BUCKETS),
                ("label", c_char * LABEL_LEN)]


class SiteList(Structure):
    _fields_ = [("size", c_uint32), ("flags", c_uint32),
                ("client_id", c_uint64), ("cursor", c_uint64),
                ("row_size", c_uint32), ("nr", c_uint32), ("rows", c_uint64)]


class TensorDesc(Structure):
    _fields_ = [("sz", c_size_t), ("ptr", c_void_p), ("bytes", c_uint64),
                ("granted", c_uint64), ("age_ms", c_uint64),
                ("handle", c_uint64), ("site", c_uint32),
                ("flags", c_uint32), ("label", c_char * LABEL_LEN)]


def _candidates():
    """Where the library may be, the surest place first."""
    if "BMEM_LIBRARY" in os.environ:
        yield os.environ["BMEM_LIBRARY"]
        return
    here = os.path.dirname(os.path.abspath(__file__))
    while here != os.path.dirname(here):
        # Beside a package that was not installed, or in the same prefix.
        yield os.path.join(here, SONAME)
        if os.path.basename(here) == "lib":
            break
        here = os.path.dirname(here)
    yield SONAME


def _load():
    # Under bmem-run the library is there, and malloc()'s client with it.
    process = CDLL(None, use_errno=True)
    if hasattr(process, "bmem_open"):
        return process
    tried = []
    for path in _candidates():
        if os.sep in path and not os.path.exists(path):
            tried.append(path)
            continue
        try:
            return CDLL(path, mode=ctypes.RTLD_GLOBAL, use_errno=True)
        except OSError as error:
            tried.append(f"{path} ({error})")
    raise ImportError(f"no {SONAME}: install libbmem, or set BMEM_LIBRARY to "
                      f"its path; tried {', '.join(tried)}")


lib = _load()

_PROTOTYPES = {
    "bmem_open": (c_int, POINTER(c_void_p), POINTER(Options)),
    "bmem_backend_name": (c_char_p, c_void_p),
    "bmem_stats": (c_int, c_void_p, POINTER(ClientStats)),
    "bmem_tensor_list": (c_int, c_void_p, POINTER(TensorList)),
    "bmem_tensor_info": (c_int, c_void_p, c_void_p, POINTER(TensorDesc)),
    "bmem_site_list": (c_int, c_void_p, POINTER(SiteList)),
    "bmem_block_begin": (c_void_p, c_void_p),
    "bmem_block_end": (ctypes.c_int64, c_void_p, c_char_p, ctypes.c_size_t),
    "bmem_scope_push": (None, c_char_p),
    "bmem_scope_pop": (None,),
    "bmem_flush": (c_int, c_void_p),
    "bmem_trim": (c_int, c_void_p, c_uint64, c_uint, POINTER(c_uint64)),
    "bmem_owns": (ctypes.c_bool, c_void_p, c_void_p),
    "bmem_set_level": (c_int, c_void_p, c_int),
    "bmem_strerror": (c_char_p, c_int),
}


def _declare(library, prototypes):
    for name, (result, *arguments) in prototypes.items():
        function = getattr(library, name)
        function.restype = result
        function.argtypes = arguments


_declare(lib, _PROTOTYPES)


class Error(OSError):
    """An error of libbmem: errno, what it means and what to do about it."""


class OutOfMemory(Error, MemoryError):
    """No room: in the pool, the address space, the cgroup or the machine."""


def error(err):
    """The exception for an errno, positive or negative."""
    err = abs(err)
    kind = OutOfMemory if err in (errno.ENOMEM, errno.ENOSPC,
                                  errno.EFBIG) else Error
    return kind(err, lib.bmem_strerror(err).decode())


def check(ret):
    """Raise what an int function of the library complains of."""
    if ret < 0:
        raise error(ret)
    return ret


def bounded(count):
    """The nearest number that C has: ctypes would make a small one of it."""
    return int(min(max(count, 0), (1 << 64) - 1))


def native():
    """What the package has in C, for NumPy and DLPack."""
    path = os.path.join(os.path.dirname(os.path.abspath(__file__)),
                        "_native.so")
    # PyDLL: it makes Python objects; with lib loaded its libbmem is that one.
    library = ctypes.PyDLL(path, use_errno=True)
    _declare(library, {
        "bmem_numpy_handler": (c_void_p, c_void_p, c_size_t),
        "bmem_numpy_name": (c_void_p,),
        "bmem_numpy_counts": (None, POINTER(c_uint64)),
        "bmem_block_new": (c_void_p, c_void_p, c_size_t, c_size_t, c_uint,
                           c_char_p),
        "bmem_block_ptr": (c_void_p, c_void_p),
        "bmem_block_put": (None, c_void_p),
        "bmem_block_dlpack": (ctypes.py_object, c_void_p, c_int32,
                              POINTER(c_int64), c_uint32, c_uint32, c_int),
    })
    return library


__all__ = ["bounded", "byref", "check", "error", "lib", "native"]
