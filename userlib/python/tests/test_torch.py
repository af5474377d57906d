# SPDX-License-Identifier: LGPL-2.1-or-later OR MIT
"""PyTorch's storages: which of them are in bmem, and that all come back."""

import gc
import io
import os
import tempfile
import threading
import unittest

import bmem
import bmem.torch
from common import NAMED, Case, line, run


class Choice(unittest.TestCase):
    """Which file fits which PyTorch; needs none."""

    HAVE = {1: "/x/_torch1.so"}

    def choose(self, version, have):
        return bmem.torch._choose(version, have)

    def test_fits(self):
        both = {1: "one", 2: "two"}
        for version, want in (("1.13.1", "one"), ("1.13.1+cpu", "one"),
                              ("2.0.1", "one"), ("2.3.0", "two"),
                              ("2.6.0+debian", "two"), ("2.14.1", "two")):
            self.assertEqual(self.choose(version, both), want, version)

    def test_none_fits(self):
        for version, have, word in (
                ("2.6.0", self.HAVE, "was not built for PyTorch 2.6.0"),
                ("2.6.0", self.HAVE, "_torch2.so"),
                ("2.6.0", self.HAVE, "libtorch-dev"),
                ("1.13.1", {}, "was not built"),
                ("2.1.2", self.HAVE, "does not know the allocator"),
                ("3.0.0", self.HAVE, "bmem-run works with any")):
            with self.assertRaises(ImportError) as caught:
                self.choose(version, have)
            self.assertIn(word, str(caught.exception))


try:
    import torch
except ImportError:
    torch = None

HERE = os.path.basename(__file__)
BIG = 200_000


@unittest.skipUnless(torch, "no PyTorch")
class Allocator(Case):
    @classmethod
    def setUpClass(cls):
        if not bmem.torch._shims():
            raise unittest.SkipTest("built without headers of PyTorch")
        torch.manual_seed(1)
        # What PyTorch keeps for itself is there before anything is counted.
        torch.nn.Linear(8, 8)(torch.ones(2, 8)).sum().backward()
        bmem.torch.install()

    def in_bmem(self, t, what=None):
        self.assertTrue(self.owned(t.data_ptr()), what)
        self.assertEqual(t.data_ptr() % 64, 0, what)

    def test_every_way_to_a_tensor(self):
        a = torch.zeros(BIG)
        file = io.BytesIO()
        torch.save(torch.arange(BIG), file)
        file.seek(0)
        for what, t in (("zeros", a), ("empty", torch.empty(BIG)),
                        ("add", a + 1), ("clone", a.clone()),
                        ("matmul", torch.ones(300, 300) @ torch.ones(300, 300)),
                        ("rand", torch.rand(BIG)), ("to", a.to(torch.float64)),
                        ("cat", torch.cat([a, a])), ("load", torch.load(file)),
                        ("conv", torch.nn.functional.conv2d(
                            torch.ones(1, 3, 64, 64), torch.ones(16, 3, 3, 3)))):
            self.in_bmem(t, what)
        self.assertFalse(self.owned(torch.zeros(10).data_ptr()))
        with tempfile.NamedTemporaryFile() as file:
            torch.save({"w": torch.arange(BIG)}, file.name)
            back = torch.load(file.name)["w"]
        self.in_bmem(back)
        self.assertTrue(torch.equal(back, torch.arange(BIG)))

    def test_sizes_are_exact(self):
        for n in (20_000, 262_144, 1_000_003):
            tensors, count = self.live_here()
            t = torch.empty(n)
            self.assertEqual(self.live_here(), (tensors + 1, count + 4 * n))
            del t
            self.assertEqual(self.live_here(), (tensors, count))

    def test_storage_resize(self):
        t = torch.arange(BIG)
        t.resize_(3 * BIG)
        self.in_bmem(t)
        self.assertTrue(torch.equal(t[:BIG], torch.arange(BIG)))
        t.resize_(10)
        self.assertTrue(torch.equal(t, torch.arange(10)))
        small = torch.arange(10)
        small.resize_(BIG)
        self.in_bmem(small)
        self.assertTrue(torch.equal(small[:10], torch.arange(10)))
        t.data = torch.empty(0)

    def test_backward_and_optimizer(self):
        model = torch.nn.Sequential(torch.nn.Linear(400, 400), torch.nn.ReLU(),
                                    torch.nn.Linear(400, 10))
        optimizer = torch.optim.Adam(model.parameters())
        for _ in range(3):
            optimizer.zero_grad()
            model(torch.ones(64, 400)).square().sum().backward()
            optimizer.step()
        weight = model[0].weight
        for what, t in (("weight", weight), ("gradient", weight.grad),
                        ("state", optimizer.state[weight]["exp_avg"])):
            self.in_bmem(t, what)

    def test_threads(self):
        tensors, _ = self.live_here()
        wrong, handed = [], []

        def thread(seed):
            for i in range(50):
                t = torch.full((BIG // 4 + seed,), float(i))
                if not self.owned(t.data_ptr()) or t.mean().item() != i:
                    wrong.append((seed, i))
            handed.append(t)

        threads = [threading.Thread(target=thread, args=(s,))
                   for s in range(4)]
        for t in threads:
            t.start()
        for t in threads:
            t.join()
        self.assertEqual(wrong, [])
        self.assertEqual(self.live_here()[0], tensors + 4)
        handed.clear()

    def test_profiler_sees_the_bytes(self):
        # Its clock is too coarse to say which operation it was.
        def seen(profile):
            return sum(e.self_cpu_memory_usage for e in profile.events())

        with torch.profiler.profile(profile_memory=True) as profile:
            a = torch.empty(BIG)
            b = torch.empty(10)
        self.assertEqual(seen(profile), 4 * BIG + 40)
        with torch.profiler.profile(profile_memory=True) as profile:
            del a, b
        self.assertEqual(seen(profile), -4 * BIG - 40)
        with torch.profiler.profile(profile_memory=True) as profile:
            torch.ones(BIG).sum()
        self.assertEqual(seen(profile), 0)

    def test_dlpack(self):
        tensors, _ = self.live_here()
        b = bmem.alloc((100, 200), "float32", zero=True)
        t = torch.from_dlpack(b)
        self.assertEqual((t.data_ptr(), tuple(t.shape), t.dtype),
                         (b.address, b.shape, torch.float32))
        t += 3
        self.assertEqual(torch.from_dlpack(b).sum().item(), 60_000)
        b.free()
        view = t[3:]
        del t
        self.assertEqual(self.live_here()[0], tensors + 1)
        view.sum()
        del view
        gc.collect()
        self.assertEqual(self.live_here()[0], tensors)

    def test_dlpack_with_numpy(self):
        try:
            import numpy as np
        except ImportError:
            self.skipTest("no NumPy")
        b = bmem.alloc(1000, "int64")
        t, a = torch.from_dlpack(b), np.asarray(b)
        t[:] = torch.arange(1000)
        np.testing.assert_array_equal(a, np.arange(1000))
        del t, a

    @unittest.skipUnless(NAMED, "this Python's frames are not read")
    def test_lines_without_the_lock(self):
        # PyTorch lets go of the interpreter's lock around these.
        a = torch.ones(500, 500)
        b = a @ a; here = line()
        with bmem.scope("kv-cache"):
            c = torch.zeros(BIG); there = line()
        lin = torch.nn.Linear(500, 500)
        d = lin(a); last = line()
        self.assertTrue(self.site_of(b.data_ptr())
                        .startswith(f"{HERE}:{here}"))
        self.assertTrue(self.site_of(c.data_ptr())
                        .startswith(f"kv-cache @ {HERE}:{there}"))
        name = self.site_of(d.data_ptr())
        self.assertIn(f"{HERE}:{last}", name)
        self.assertRegex(name, r"^(linear|functional)\.py:\d+ < ")

    def test_exit_with_tensors_alive(self):
        out = run("import bmem.torch, torch\nbmem.torch.install()\n"
                  "torch.kept = torch.ones(1_000_000)\n"
                  "held = [torch.ones(1_000_000, requires_grad=True)]\n"
                  "held[0].sum().backward()\nheld.append(held)\nprint('end')")
        self.assertEqual(out, "end\n")

    def test_uninstall(self):
        a = torch.ones(BIG)
        bmem.torch.uninstall()
        try:
            self.assertFalse(self.owned(torch.ones(BIG).data_ptr()))
        finally:
            bmem.torch.install()
        self.assertTrue(self.owned(a.data_ptr()))
        with self.assertRaises(ValueError):
            bmem.torch.install(threshold=-5)

    def test_out_of_room_goes_to_libc10(self):
        out = run("import bmem, bmem.torch, torch\n"
                  "bmem.configure('memfd', max_bytes=8 << 20)\n"
                  "bmem.torch.install()\n"
                  "held = [torch.ones(500_000) for _ in range(20)]\n"
                  "assert all(t.sum() == 500_000 for t in held)\n"
                  "served, refused = bmem.torch.counts()\n"
                  "print(served + refused, 0 < served < 20)\n"
                  "del held\nprint(bmem.stats().live_tensors)")
        self.assertEqual(out, "20 True\n0\n")


if __name__ == "__main__":
    unittest.main()
