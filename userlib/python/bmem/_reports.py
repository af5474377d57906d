# SPDX-License-Identifier: LGPL-2.1-or-later OR MIT
"""What is live, how much, how old and from where."""

import ctypes
import gc
from typing import NamedTuple

from . import _lib
from ._client import client


class Stats(NamedTuple):
    """The sums over this process's client, in bytes unless said otherwise."""

    backend: str             #: "dev" for the kernel module, or "memfd"
    live_tensors: int        #: number of live tensors
    live_bytes: int          #: what they asked for
    granted_bytes: int       #: what they, and idle ones, take up
    attached_bytes: int      #: memory held, with what is kept for later
    cached_bytes: int        #: part of it in huge pages without a tensor
    meta_bytes: int          #: memory of the books
    peak_live_bytes: int     #: largest live_bytes
    peak_attached_bytes: int #: largest attached_bytes
    allocs: int              #: tensors allocated so far
    frees: int               #: tensors freed so far
    failed: int              #: calls that found no room
    sites: int               #: call sites known


class Site(NamedTuple):
    """The live tensors of one call site."""

    name: str                #: "scope @ file:line", or of the program file
    live_tensors: int        #: number
    live_bytes: int          #: what they asked for
    oldest_s: float          #: age of the oldest, in seconds
    youngest_s: float        #: age of the youngest

    def __str__(self):
        return (f"{size(self.live_bytes):>10} in {self.live_tensors:5} "
                f"tensors, {self.youngest_s:.1f} to {self.oldest_s:.1f} s old, "
                f"from {self.name}")


def size(count):
    """A number of bytes for people."""
    for unit in ("B", "KiB", "MiB", "GiB"):
        if count < 1024 or unit == "GiB":
            break
        count /= 1024
    return f"{count:.0f} B" if unit == "B" else f"{count:.1f} {unit}"


def stats():
    """The sums over this process's client, as a Stats.

    Exact where no other thread allocates or frees meanwhile.
    """
    raw = _lib.ClientStats(size=_lib.ctypes.sizeof(_lib.ClientStats),
                           flags=_lib.STATS_LEDGER)
    _lib.check(_lib.lib.bmem_stats(client(), _lib.byref(raw)))
    return Stats(_lib.lib.bmem_backend_name(client()).decode(),
                 *(getattr(raw, name) for name in Stats._fields[1:]))


def _names():
    rows = (_lib.SiteRow * 64)()
    names = {}
    cursor = 0
    while True:
        arg = _lib.SiteList(size=_lib.ctypes.sizeof(_lib.SiteList),
                            cursor=cursor, nr=len(rows),
                            row_size=_lib.ctypes.sizeof(_lib.SiteRow),
                            rows=_lib.ctypes.addressof(rows))
        _lib.check(_lib.lib.bmem_site_list(client(), _lib.byref(arg)))
        for row in rows[:arg.nr]:
            names[row.site] = row.label.decode(errors="replace")
        if arg.nr < len(rows):
            return names
        cursor = arg.cursor


def _tensors(min_age_ms, min_bytes):
    entries = (_lib.Tensor * _lib.BATCH_MAX)()
    cursor = 0
    while True:
        arg = _lib.TensorList(size=_lib.ctypes.sizeof(_lib.TensorList),
                              cursor=cursor, nr=len(entries),
                              min_age_ms=_lib.bounded(min_age_ms),
                              min_bytes=_lib.bounded(min_bytes),
                              entries=_lib.ctypes.addressof(entries))
        _lib.check(_lib.lib.bmem_tensor_list(client(), _lib.byref(arg)))
        yield from ((t.site, t.bytes, t.age_ms) for t in entries[:arg.nr])
        if arg.nr < len(entries):
            return
        cursor = arg.cursor


def live(older_than=0.0, min_bytes=0):
    """What is live, by call site, as a list of Site, the largest first.

    older_than  only tensors of at least so many seconds
    min_bytes   only tensors of at least so many bytes
    """
    groups = {}
    for site, count, age in _tensors(older_than * 1000, min_bytes):
        group = groups.setdefault(site, [0, 0, 0, age])
        group[0] += 1
        group[1] += count
        group[2] = max(group[2], age)
        group[3] = min(group[3], age)
    names = _names()
    found = [Site(names.get(site) or "unknown", nr, count, old / 1000,
                  young / 1000)
             for site, (nr, count, old, young) in groups.items()]
    return sorted(found, key=lambda s: (-s.live_bytes, s.name))


def leaks(older_than=60.0, min_bytes=0):
    """Where old tensors come from: candidates for a leak, not verdicts.

    The same as live(), from a minute on.  Nothing here looks whether a tensor
    can still be reached: weights, caches and optimizer state are as old as the
    program and will be in the list.  What does not belong there is a site that
    you expected to be short-lived, or one that has more each time you look.
    """
    return live(older_than, min_bytes)


class LeftBehind(AssertionError):
    """What a no_leaks() block left behind, with the call sites."""


class no_leaks:
    """A block of a test that is to leave nothing behind.

    with bmem.no_leaks():
        model(batch)

    What is live at its end and was not at its beginning raises LeftBehind,
    whose message names the call sites.  Garbage is collected before both looks.
    What is meant to stay, such as a cache that is filled on first use, is done
    once before.  What other threads allocate meanwhile counts as well.
    """

    def __enter__(self):
        gc.collect()
        self._block = _lib.lib.bmem_block_begin(client())
        if not self._block:
            _lib.check(-ctypes.get_errno())
        return self

    def __exit__(self, kind, value, traceback):
        gc.collect()
        text = ctypes.create_string_buffer(4096)
        left = _lib.lib.bmem_block_end(self._block, text, len(text))
        if kind is None:
            _lib.check(min(left, 0))
            if left:
                raise LeftBehind(text.value.decode(errors="replace").rstrip())
