# SPDX-License-Identifier: LGPL-2.1-or-later OR MIT
"""What the tests share."""

import gc
import inspect
import os
import subprocess
import sys
import unittest

os.environ["BMEM_QUIET"] = "1"

import bmem  # noqa: E402

#: Do releases of this Python have their lines in call sites?
NAMED = sys.version_info[:2] in {(3, 11), (3, 13), (3, 14)} \
    and sys.implementation.name == "cpython" \
    and os.environ.get("BMEM_PYTHON") != "off"


def line():
    """The number of the caller's line."""
    return inspect.currentframe().f_back.f_lineno


def run(program, *, check=True, **env):
    """A program in a process of its own; its standard output."""
    done = subprocess.run([sys.executable, "-c", program], text=True,
                          env={**os.environ, **env}, timeout=3000,
                          cwd="/",
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    if check and done.returncode:
        raise AssertionError(f"exit {done.returncode} of:\n{program}\n"
                             f"{done.stdout}{done.stderr}")
    return done.stdout if check else done


class Case(unittest.TestCase):
    """Every test leaves as much live as it found."""

    def setUp(self):
        gc.collect()
        before = bmem.stats()
        self.addCleanup(self._all_back, before)

    def _all_back(self, before):
        gc.collect()
        now = bmem.stats()
        self.assertEqual((now.live_tensors, now.live_bytes),
                         (before.live_tensors, before.live_bytes),
                         f"something is still live: {bmem.live()}")

    def live_here(self):
        """Live tensors and bytes."""
        now = bmem.stats()
        return now.live_tensors, now.live_bytes

    def site_of(self, address):
        """The name of the site of a tensor."""
        from bmem import _client, _lib
        desc = _lib.TensorDesc(sz=_lib.ctypes.sizeof(_lib.TensorDesc))
        _lib.check(_lib.lib.bmem_tensor_info(_client.client(), address,
                                             _lib.byref(desc)))
        return desc.label.decode()

    def owned(self, address):
        """Is it an address in bmem's memory?"""
        from bmem import _client, _lib
        return _lib.lib.bmem_owns(_client.client(), address)
