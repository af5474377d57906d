# SPDX-License-Identifier: LGPL-2.1-or-later OR MIT
"""Runs a Python program under bmem-run and compares bmem's registry with
count.so's count, while the program has its tensors and when it has dropped
them.  usage: audit.py THRESHOLD PROGRAM [ARGUMENT...]; see test_run.py"""

import ctypes
import gc
import os
import runpy
import sys
import time

import bmem
from bmem import _client, _lib

count = ctypes.CDLL(os.environ["COUNT_LIBRARY"])
threshold = int(sys.argv[1])
seen = []
wrong = []


def counted():
    now = (ctypes.c_uint64 * 4)()
    count.count_look(now)
    return tuple(now)


def registered():
    """Blocks from the threshold on; without memory of its own meanwhile."""
    entries = (_lib.Tensor * 512)()
    cursor = blocks = nbytes = 0
    while True:
        arg = _lib.TensorList(size=_lib.ctypes.sizeof(_lib.TensorList),
                              cursor=cursor, nr=len(entries),
                              min_bytes=threshold,
                              entries=_lib.ctypes.addressof(entries))
        _lib.check(_lib.lib.bmem_tensor_list(_client.client(),
                                             _lib.byref(arg)))
        for i in range(arg.nr):
            blocks += 1
            nbytes += entries[i].bytes
        if arg.nr < len(entries):
            return blocks, nbytes
        cursor = arg.cursor


def compare(where):
    """Do both agree?  Other threads may be in the middle of something."""
    gc.collect()
    for _ in range(200):
        want, got = counted(), registered()
        if counted() == want and got == want[:2]:
            break
        time.sleep(0.01)
    else:
        wrong.append(f"{where}: the registry has {got[0]} blocks, {got[1]} "
                     f"bytes; counted are {want[0]} and {want[1]}")
    seen.append(got)
    return got


def after_each_step():
    """Compare after each step of the optimizer as well."""
    import torch
    step = torch.optim.Adam.step

    def audited(self, *args, **kwargs):
        result = step(self, *args, **kwargs)
        compare("after a step")
        return result

    torch.optim.Adam.step = audited


def main():
    sys.argv = sys.argv[2:]
    if os.environ.get("AUDIT_TORCH"):
        after_each_step()
    before = compare("before")
    runpy.run_path(sys.argv[0], run_name="__main__")
    after = compare("after")
    print(f"audit: {len(seen)} looks, most {max(b for _, b in seen)} bytes, "
          f"{counted()[3]} blocks in all, more after than before: "
          f"{after[0] - before[0]} blocks, {after[1] - before[1]} bytes",
          file=sys.stderr)
    for line in wrong[:10]:
        print(f"audit: {line}", file=sys.stderr)
    sys.exit(1 if wrong else 0)


main()
