# SPDX-License-Identifier: LGPL-2.1-or-later OR MIT
"""Unmodified Python programs under bmem-run: the same results, every large
block in the registry, none left."""

import os
import re
import subprocess
import sys
import tempfile
import unittest

from common import NAMED

BUILD = os.environ["BMEM_BUILD"]
RUN = os.path.join(BUILD, "bmem-run")
COUNT = os.path.join(BUILD, "python", "count.so")
HERE = os.path.dirname(os.path.abspath(__file__))
TRAIN = os.path.join(HERE, "../bench/train.py")
THRESHOLD = 64 << 10

try:
    import torch
except ImportError:
    torch = None
try:
    import numpy
except ImportError:
    numpy = None


def command(words, **env):
    """Standard output and standard error of a command that has to succeed."""
    done = subprocess.run(words, text=True, stdin=subprocess.DEVNULL,
                          env={**os.environ, "OMP_WAIT_POLICY": "passive",
                               **env}, timeout=3000,
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    if done.returncode:
        raise AssertionError(f"exit {done.returncode} of {words}:\n"
                             f"{done.stdout}{done.stderr[-4000:]}")
    return done.stdout, done.stderr


@unittest.skipUnless(os.path.exists(RUN), "no bmem-run")
class Programs(unittest.TestCase):
    def under_bmem_run(self, *words, **env):
        return command([RUN, "--threshold", str(THRESHOLD), "--", *words],
                       **env)

    def audited(self, program, *arguments, **env):
        """Its output and what the audit says."""
        # In front of bmem-run's library, so that it sees what is asked for.
        out, err = self.under_bmem_run(
            "/bin/sh", "-c", 'LD_PRELOAD="$0:$LD_PRELOAD" exec "$@"', COUNT,
            sys.executable, os.path.join(HERE, "audit.py"), str(THRESHOLD),
            program, *arguments, COUNT_LIBRARY=COUNT,
            COUNT_THRESHOLD=str(THRESHOLD), **env)
        found = re.search(r"audit: (\d+) looks, most (\d+) bytes, (\d+) blocks "
                          r"in all, more after than before: (-?\d+) blocks", err)
        self.assertTrue(found, err)
        return out, [int(n) for n in found.groups()]

    @unittest.skipUnless(torch, "no PyTorch")
    def test_training(self):
        for kind in ("cnn", "transformer"):
            with self.subTest(kind):
                words = [TRAIN, kind, "--small", "--steps", "6"]
                plain, _ = command([sys.executable, *words])
                self.assertEqual(plain.count("\n"), 5, plain)
                out, (looks, most, total, left) = self.audited(
                    *words, AUDIT_TORCH="1")
                self.assertEqual(out, plain)
                self.assertEqual(looks, 2 + 6)
                self.assertGreater(most, 1 << 20)
                self.assertGreater(total, 100)
                # What libraries loaded meanwhile keep for themselves is small.
                self.assertLessEqual(left, 4)

    NUMPY = """if True:
        import numpy as np
        rng = np.random.default_rng(1)
        kept = []
        for i in range(60):
            a = rng.random((100 + i, 200))
            b = np.sort(a, axis=None).reshape(a.shape)
            kept.append((a @ b.T).astype("float32"))
            if i % 7 == 0:
                kept[i // 2] = np.fromiter((x for x in range(30_000)), "int64")
            a.resize((300, 300 + i), refcheck=False)
            a[:] = np.fft.fft2(a).real
        print([float(np.sum(k)) for k in kept])
        del kept, a, b
        """

    @unittest.skipUnless(numpy, "no NumPy")
    def test_arrays(self):
        with tempfile.NamedTemporaryFile("w", suffix=".py") as file:
            file.write(self.NUMPY)
            file.flush()
            plain, _ = command([sys.executable, file.name])
            out, (looks, _, total, left) = self.audited(file.name)
        self.assertEqual(out, plain)
        self.assertEqual(looks, 2)
        self.assertGreater(total, 200)
        self.assertLessEqual(left, 4)

    @unittest.skipUnless(numpy and NAMED, "no NumPy, or no names")
    def test_report_names_the_line(self):
        with tempfile.NamedTemporaryFile("w", prefix="leaky", suffix=".py") \
                as file:
            file.write("import numpy as np, os\n"
                       "kept = []\n"
                       "for _ in range(9):\n"
                       "    kept.append(np.ones(1_000_000))\n"
                       "    a = kept[-1] * 2\n")
            file.flush()
            _, err = self.under_bmem_run(sys.executable, file.name)
        self.assertIn(f"{os.path.basename(file.name)[:20]}", err)
        self.assertRegex(err, r"leaky\w*\.py:4")

    @unittest.skipUnless(numpy, "no NumPy")
    def test_the_package_is_about_this_memory(self):
        out, _ = self.under_bmem_run(
            sys.executable, "-c",
            "import bmem, numpy as np\n"
            "before = bmem.stats().live_bytes\n"
            "with bmem.scope('batch'): a = np.ones(1_000_000)\n"
            "print(bmem.stats().live_bytes - before)\n"
            "print(bmem.live()[0].name.split(' @ ')[0])\n")
        self.assertEqual(out, "8000000\nbatch\n")


if __name__ == "__main__":
    unittest.main()
