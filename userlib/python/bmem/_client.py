# SPDX-License-Identifier: LGPL-2.1-or-later OR MIT
"""The process's one client."""

import threading

from . import _lib

_lock = threading.Lock()
_client = None


def _of_bmem_run():
    try:
        get = _lib.lib.bmem_run_client
    except AttributeError:
        return None
    get.restype = _lib.c_void_p
    return get()


def _open(options):
    client = _lib.c_void_p()
    ret = _lib.lib.bmem_open(_lib.byref(client), _lib.byref(options))
    _lib.check(ret)
    return client.value


def _options(backend, pool, label, max_bytes, level):
    if backend not in _lib.BACKENDS:
        raise ValueError(f"backend {backend!r} is none of "
                         f"{', '.join(_lib.BACKENDS)}")
    # ctypes would make others of them: of a pool that is not, the default.
    if pool >> 32:
        raise ValueError(f"pool {pool} is no number of one")
    if max_bytes >> 64:
        raise ValueError(f"max_bytes {max_bytes} is out of range")
    options = _lib.Options(sz=_lib.ctypes.sizeof(_lib.Options),
                           backend=_lib.BACKENDS[backend], pool=pool,
                           max_bytes=max_bytes, flags=_lib.OPEN_PRIVATE)
    if label is not None:
        options.label = label.encode()
    if level is not None:
        if level not in _lib.LEVELS:
            raise ValueError(f"level {level!r} is none of "
                             f"{', '.join(_lib.LEVELS)}")
        options.level = _lib.LEVELS[level]
        options.flags |= _lib.OPEN_LEVEL
    return options


def _open_private(options):
    """With memory that a child of fork() gets a copy of, where that can be."""
    try:
        return _open(options)
    except _lib.Error as error:
        if error.errno not in (_lib.errno.EOPNOTSUPP, _lib.errno.ENOTTY):
            raise
    options.flags &= ~_lib.OPEN_PRIVATE
    return _open(options)


def configure(backend="auto", pool=0, label=None, max_bytes=0, level=None):
    """Say how this process uses bmem, before it allocates anything.

    backend    "dev" for /dev/bmem or an error, "memfd" for memory of this
               process, "auto" for the first that can be had
    pool       id of the pool, as `bmemctl pools` shows it
    label      what reports call the process
    max_bytes  most that "memfd" may hold, 0 for as much as there is
    level      "off", "counts", "standard" or "full": what is recorded

    Without a call the environment decides, see libbmem(3).  Under bmem-run the
    client is malloc()'s, and bmem-run's options hold: then, and when the client
    is open already, this raises RuntimeError.
    """
    global _client
    options = _options(backend, pool, label, max_bytes, level)
    with _lock:
        if _client or _of_bmem_run():
            raise RuntimeError("bmem is in use already, "
                               "call bmem.configure() before all else")
        _client = _open_private(options)


def client():
    """The client, opened with the defaults if nobody has said how."""
    global _client
    if not _client:
        with _lock:
            if not _client:
                _client = _of_bmem_run() or \
                    _open_private(_options("auto", 0, None, 0, None))
    return _client
