# SPDX-License-Identifier: LGPL-2.1-or-later OR MIT
"""NumPy's arrays: which of them are in bmem, and that all come back."""

import concurrent.futures
import contextvars
import ctypes
import gc
import os
import tempfile
import threading
import unittest

import bmem
import bmem.numpy
from common import NAMED, Case, line, run

try:
    import numpy as np
except ImportError:
    raise unittest.SkipTest("no NumPy") from None

try:
    from numpy._core.multiarray import get_handler_name
except ImportError:
    from numpy.core.multiarray import get_handler_name

HERE = os.path.basename(__file__)
BIG = 200_000       # elements of 8 bytes: above the threshold
SMALL = 100


class Handler(Case):
    def in_bmem(self, a, what):
        self.assertEqual(get_handler_name(a), "bmem", what)
        self.assertEqual(self.owned(a.ctypes.data),
                         a.nbytes >= bmem.numpy.THRESHOLD, what)

    def test_every_way_to_an_array(self):
        stored = tempfile.NamedTemporaryFile(suffix=".npy")
        np.save(stored.name, np.arange(BIG))
        self.addCleanup(stored.close)
        with bmem.numpy.handler():
            a = np.zeros(BIG)
            self.assertEqual(self.live_here()[1] % (BIG * 8), 0)
            made = {
                "zeros": a,
                "empty": np.empty(BIG),
                "ones": np.ones((100, 2000)),
                "copy": a.copy(),
                "ufunc": a + 1,
                "matmul": np.ones((300, 300)) @ np.ones((300, 300)),
                "load": np.load(stored.name),
                "array": np.array(range(BIG)),
                "fromiter": np.fromiter((float(i) for i in range(BIG)), float),
                "concatenate": np.concatenate([a, a]),
                "astype": a.astype("float32"),
                "sort": np.sort(np.arange(BIG)[::-1]),
                "fancy": np.arange(BIG)[np.arange(BIG)],
                "small": np.zeros(SMALL),
                "empty array": np.zeros(0),
                "fft": np.fft.rfft(a).copy(),
                "random": np.random.default_rng(1).random(BIG),
            }
            grown = np.arange(10)
            grown.resize(BIG, refcheck=False)
            made["resize"] = grown
            for what, array in made.items():
                self.in_bmem(array, what)
            # What it holds is what it should be.
            np.testing.assert_array_equal(made["zeros"], 0)
            np.testing.assert_array_equal(made["load"], np.arange(BIG))
            np.testing.assert_array_equal(made["fromiter"], np.arange(BIG))
            np.testing.assert_array_equal(made["sort"], np.arange(BIG))
            np.testing.assert_array_equal(made["resize"][:10], np.arange(10))
            np.testing.assert_array_equal(made["resize"][10:], 0)
            np.testing.assert_array_equal(made["matmul"], 300)
        self.assertNotEqual(get_handler_name(np.zeros(BIG)), "bmem")

    def test_counts_follow(self):
        tensors, _ = self.live_here()
        served, refused = bmem.numpy.counts()
        with bmem.numpy.handler():
            held = [np.empty(BIG + i) for i in range(5)]
        self.assertEqual(self.live_here()[0], tensors + 5)
        self.assertEqual(bmem.numpy.counts(), (served + 5, refused))
        total = sum(a.nbytes for a in held)
        self.assertEqual(sum(s.live_bytes for s in bmem.live(
            min_bytes=BIG * 8)), total)
        # Freed outside of the block, and by another thread.
        held.pop()
        t = threading.Thread(target=held.clear)
        t.start()
        t.join()
        self.assertEqual(self.live_here()[0], tensors)

    def test_resize_across_the_threshold(self):
        rng = np.random.default_rng(3)
        with bmem.numpy.handler():
            a = np.arange(10)
            n = 10
            for _ in range(200):
                m = int(rng.choice([1, 10, 5000, 8191, 8192, 8193, BIG]))
                a.resize(m, refcheck=False)
                keep = min(n, m)
                np.testing.assert_array_equal(a[:keep], np.arange(keep))
                np.testing.assert_array_equal(a[keep:], 0)
                a[:] = np.arange(m)
                n = m
            # With the block left, and no handler.
        a.resize(BIG * 2, refcheck=False)
        np.testing.assert_array_equal(a[:n], np.arange(n))
        a[:] = np.arange(BIG * 2)
        a.resize(5, refcheck=False)
        np.testing.assert_array_equal(a, np.arange(5))

    def test_arrays_from_before(self):
        before = np.arange(BIG)
        with bmem.numpy.handler():
            before.resize(BIG * 3, refcheck=False)
            np.testing.assert_array_equal(before[:BIG], np.arange(BIG))
            del before

    def test_subclasses_views_and_pickles(self):
        import pickle
        with bmem.numpy.handler():
            a = np.arange(BIG).view(np.matrix)
            view = a[:, 10:20]
            b = pickle.loads(pickle.dumps(np.arange(BIG)))
        del a
        gc.collect()
        np.testing.assert_array_equal(view, [np.arange(10, 20)])
        np.testing.assert_array_equal(b, np.arange(BIG))

    def test_nested_and_exceptions(self):
        with bmem.numpy.handler():
            with bmem.numpy.handler():
                pass
            self.assertTrue(bmem.numpy.installed())
            with self.assertRaises(KeyError):
                with bmem.numpy.handler():
                    raise KeyError
            self.assertTrue(bmem.numpy.installed())
        self.assertFalse(bmem.numpy.installed())

    def test_threads(self):
        def thread(install):
            if install:
                bmem.numpy.install()
            a = np.zeros(BIG)
            return get_handler_name(a), self.owned(a.ctypes.data)

        with bmem.numpy.handler():
            with concurrent.futures.ThreadPoolExecutor(1) as pool:
                # A new thread has NumPy's own, as documented.
                self.assertEqual(pool.submit(thread, False).result(),
                                 ("default_allocator", False))
                self.assertEqual(pool.submit(thread, True).result(),
                                 ("bmem", True))
            with concurrent.futures.ThreadPoolExecutor(
                    2, initializer=bmem.numpy.install) as pool:
                for got in pool.map(thread, [False] * 8):
                    self.assertEqual(got, ("bmem", True))
            # Or the context goes along.
            context = contextvars.copy_context()
            got = []
            t = threading.Thread(
                target=lambda: got.append(context.run(thread, False)))
            t.start()
            t.join()
            self.assertEqual(got, [("bmem", True)])

    def test_install_uninstall(self):
        bmem.numpy.install()
        try:
            self.assertTrue(bmem.numpy.installed())
            self.in_bmem(np.zeros(BIG), "zeros")
            bmem.numpy.install(threshold=1)
            a = np.zeros(SMALL)
            self.assertTrue(self.owned(a.ctypes.data))
            with self.assertRaises(ValueError):
                bmem.numpy.install(threshold=-1)
        finally:
            bmem.numpy.install()
            bmem.numpy.uninstall()
        self.assertFalse(bmem.numpy.installed())

    def test_everything_in_bmem(self):
        rng = np.random.default_rng(5)
        with bmem.numpy.handler(threshold=1):
            held = {}
            for step in range(3000):
                key = int(rng.integers(50))
                n = int(rng.choice([0, 1, 3, 100, 4000, 20_000]))
                if key in held:
                    a, seed = held.pop(key)
                    np.testing.assert_array_equal(a, seed)
                held[key] = (np.full(n, step), step)
        del held, a
        with bmem.numpy.handler():
            pass        # the threshold is as it was

    def test_threshold_is_the_blocks(self):
        def small():
            return self.owned(np.zeros(SMALL).ctypes.data)

        bmem.numpy.install()
        try:
            with bmem.numpy.handler(threshold=1):
                self.assertTrue(small())
                with bmem.numpy.handler():
                    self.assertFalse(small())
                self.assertTrue(small())
                with bmem.numpy.handler(threshold=1 << 64):
                    self.assertFalse(small())
            self.assertFalse(small())
        finally:
            bmem.numpy.uninstall()

    def test_out_of_room_goes_to_malloc(self):
        out = run("import bmem, bmem.numpy, numpy as np\n"
                  "bmem.configure('memfd', max_bytes=8 << 20)\n"
                  "bmem.numpy.install()\n"
                  "held = [np.ones(250_000) for _ in range(20)]\n"
                  "assert all(a.sum() == 250_000 for a in held)\n"
                  "served, refused = bmem.numpy.counts()\n"
                  "print(served + refused, 0 < served < 20)\n"
                  "held[-1].resize(10, refcheck=False)\n"
                  "held[0].resize(500_000, refcheck=False)\n"
                  "print(held[0].sum())\n"
                  "del held\nprint(bmem.stats().live_tensors)")
        self.assertEqual(out, "20 True\n250000.0\n0\n")

    def test_exit_with_arrays_alive(self):
        out = run("import bmem.numpy, numpy as np, sys\n"
                  "bmem.numpy.install()\n"
                  "a = np.arange(1_000_000)\n"
                  "np.kept = a[::2]\n"
                  "class K:\n    def __del__(self): np.zeros(100_000).sum()\n"
                  "k = K(); k.me = k\n"
                  "sys.kept = [a, k]\nprint('end')")
        self.assertEqual(out, "end\n")

    @unittest.skipUnless(NAMED, "this Python's frames are not read")
    def test_lines_and_scopes(self):
        with bmem.numpy.handler():
            a = np.zeros(BIG); here = line()
            with bmem.scope("batch"):
                b = a + 1; there = line()
        self.assertEqual(self.site_of(a.ctypes.data).split(" < ")[0],
                         f"{HERE}:{here}")
        self.assertTrue(self.site_of(b.ctypes.data)
                        .startswith(f"batch @ {HERE}:{there}"))

    def test_name_is_not_pythons(self):
        # NumPy compares it when Python's modules may be gone.
        name = ctypes.pythonapi.PyCapsule_GetName
        name.restype = ctypes.c_void_p
        name.argtypes = [ctypes.py_object]
        with bmem.numpy.handler():
            self.assertEqual(name(bmem.numpy._capsule),
                             bmem.numpy._native.bmem_numpy_name())


class InPlace(Case):
    """bmem.alloc() as arrays."""

    def test_dlpack(self):
        if not hasattr(np, "from_dlpack"):
            self.skipTest("NumPy without DLPack")
        tensors, _ = self.live_here()
        b = bmem.alloc((100, 200), "float32")
        a = np.from_dlpack(b)
        self.assertEqual((a.ctypes.data, a.shape, a.dtype),
                         (b.address, b.shape, np.float32))
        np.asarray(b)[:] = 7
        np.testing.assert_array_equal(a, 7)
        b.free()
        part = a[5:10]
        del a
        self.assertEqual(self.live_here()[0], tensors + 1)
        np.testing.assert_array_equal(part, 7)
        del part
        self.assertEqual(self.live_here()[0], tensors)

    def test_asarray_of_every_type(self):
        for dtype in ("int8", "int16", "int32", "int64", "uint8", "uint16",
                      "uint32", "uint64", "float16", "float32", "float64",
                      "complex64", "complex128", "bool"):
            b = bmem.alloc((3, 5), dtype, zero=True)
            a = np.asarray(b)
            self.assertEqual((a.dtype, a.shape, a.ctypes.data, a.nbytes),
                             (np.dtype(dtype), (3, 5), b.address, b.nbytes))
            a[1, 2] = 1
            self.assertEqual(np.asarray(b).sum(), 1)
            del a

    def test_integers_of_numpy(self):
        with bmem.alloc(np.int64(7), "int8") as b:
            self.assertEqual(np.asarray(b).shape, (7,))
        with bmem.alloc(np.array([2, 3])) as b:
            self.assertEqual(b.shape, (2, 3))

    def test_what_numpy_has_not(self):
        with bmem.alloc(4, "bfloat16") as b:
            with self.assertRaises(TypeError):
                np.asarray(b)

    def test_asarray_keeps_it(self):
        tensors, _ = self.live_here()
        a = np.asarray(bmem.alloc(1 << 20, zero=True))
        self.assertEqual(self.live_here()[0], tensors + 1)
        self.assertEqual(a.sum(), 0)
        del a
        self.assertEqual(self.live_here()[0], tensors)

    def test_asarray_outlives_free(self):
        tensors, _ = self.live_here()
        with bmem.alloc(1 << 20) as b:
            part = np.asarray(b)[5:10]
            part[:] = 7
        self.assertEqual(self.live_here()[0], tensors + 1)
        with bmem.alloc(1 << 20, zero=True):
            np.testing.assert_array_equal(part, 7)
        with self.assertRaises(ValueError):
            np.asarray(b)
        del part
        self.assertEqual(self.live_here()[0], tensors)


if __name__ == "__main__":
    unittest.main()
