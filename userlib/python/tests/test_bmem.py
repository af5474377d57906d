# SPDX-License-Identifier: LGPL-2.1-or-later OR MIT
"""The package itself: sums, reports, scopes, buffers."""

import ctypes
import os
import subprocess
import tempfile
import threading
import time
import unittest

import bmem
from bmem import _client, _events, _lib
from common import NAMED, Case, line, run

HERE = os.path.basename(__file__)


class Structures(unittest.TestCase):
    """ctypes' ideas of structures against the compiler's."""

    STRUCTS = {"bmem_options": _lib.Options,
               "bmem_client_stats": _lib.ClientStats,
               "bmem_tensor": _lib.Tensor,
               "bmem_tensor_list": _lib.TensorList,
               "bmem_site_row": _lib.SiteRow,
               "bmem_site_list": _lib.SiteList,
               "bmem_tensor_desc": _lib.TensorDesc,
               "bmem_event": _events.Event}
    OTHER_NAMES = {"reserved": "__reserved"}
    CONSTANTS = {"BMEM_LABEL_LEN": _lib.LABEL_LEN,
                 "BMEM_BATCH_MAX": _lib.BATCH_MAX,
                 "BMEM_ALLOC_ZERO": _lib.ALLOC_ZERO,
                 "BMEM_STATS_LEDGER": _lib.STATS_LEDGER,
                 "BMEM_OPEN_LEVEL": _lib.OPEN_LEVEL,
                 "BMEM_OPEN_PRIVATE": _lib.OPEN_PRIVATE,
                 "BMEM_BACKEND_DEV": _lib.BACKENDS["dev"],
                 "BMEM_BACKEND_MEMFD": _lib.BACKENDS["memfd"],
                 "BMEM_EVENT_PRESSURE": _events.PRESSURE,
                 "BMEM_LEVEL_FULL": _lib.LEVELS["full"],
                 "BMEM_LEVEL_STANDARD": _lib.LEVELS["standard"]}

    def test_as_in_the_headers(self):
        top = os.path.abspath(os.path.join(os.path.dirname(__file__),
                                           "../../.."))
        checks = []
        for name, kind in self.STRUCTS.items():
            checks.append(f"sizeof(struct {name}) == {ctypes.sizeof(kind)}")
            for field, *_ in kind._fields_:
                real = self.OTHER_NAMES.get(field, field)
                checks.append(f"offsetof(struct {name}, {real}) == "
                              f"{getattr(kind, field).offset}")
        checks += [f"{k} == {v}" for k, v in self.CONSTANTS.items()]
        source = '#include <bmem.h>\n' + "".join(
            f'_Static_assert({check}, "{check}");\n' for check in checks)
        try:
            done = subprocess.run(
                ["cc", f"-I{top}/userlib/include", f"-I{top}/uapi",
                 "-fsyntax-only", "-xc", "-"], input=source, text=True,
                stderr=subprocess.PIPE)
        except FileNotFoundError:
            self.skipTest("no compiler")
        self.assertEqual(done.returncode, 0, done.stderr)


class Sums(Case):
    def test_follow_every_step(self):
        sizes = [1, 63, 4096, 100_000, 1 << 20, (1 << 20) + 1, 5 << 20]
        tensors, count = self.live_here()
        held = []
        for nbytes in sizes:
            held.append(bmem.alloc(nbytes))
            tensors, count = tensors + 1, count + nbytes
            self.assertEqual(self.live_here(), (tensors, count))
        for buffer in held:
            buffer.free()
            tensors, count = tensors - 1, count - buffer.nbytes
            self.assertEqual(self.live_here(), (tensors, count))

    def test_relations(self):
        with bmem.alloc(10 << 20):
            now = bmem.stats()
            self.assertLessEqual(now.live_bytes, now.granted_bytes)
            self.assertLessEqual(now.granted_bytes, now.attached_bytes)
            self.assertGreaterEqual(now.peak_live_bytes, now.live_bytes)
            self.assertGreaterEqual(now.allocs, now.live_tensors)
        self.assertIn(now.backend, ("dev", "memfd"))

    def test_trim_keeps_what_it_is_told(self):
        bmem.alloc(64 << 20).free()
        self.assertEqual(bmem.trim(1 << 64), 0)
        self.assertEqual(bmem.trim(1 << 63), 0)

    def test_trim_gives_back(self):
        bmem.alloc(64 << 20).free()
        bmem.trim()
        now = bmem.stats()
        self.assertEqual(now.cached_bytes, 0)
        self.assertLess(now.attached_bytes - now.live_bytes, 16 << 20)


class Pressure(unittest.TestCase):
    """Each in a process of its own: the client is bounded."""

    BEGIN = """
import bmem, faulthandler, threading, time
faulthandler.dump_traceback_later(600, exit=True)
bmem.configure(backend="memfd", max_bytes=64 << 20)
cache, heard, done = [], [], threading.Event()
def collect(level, held):
    heard.append(level)
    while cache:
        cache.pop().free()
    done.set()
"""

    def test_a_cache_is_dropped(self):
        out = run(self.BEGIN + """
bmem.on_pressure(collect)
for _ in range(7):
    cache.append(bmem.alloc(8 << 20))
assert done.wait(60)
# The last one may have come after it.
while cache:
    cache.pop().free()
assert not bmem.stats().live_bytes
bmem.alloc(48 << 20).free()
print(max(heard))
""")
        self.assertIn(int(out), (2, 3))

    def test_removed(self):
        out = run(self.BEGIN + """
with bmem.on_pressure(collect) as handler:
    pass
handler.remove()
b = bmem.alloc(60 << 20)
time.sleep(0.2)
b.free()
print(heard)
""")
        self.assertEqual(out, "[]\n")

    def test_ends_while_it_is_called(self):
        run(self.BEGIN + """
def slow(level, held):
    time.sleep(0.3)
bmem.on_pressure(slow)
b = bmem.alloc(60 << 20)
""")


class Sites(Case):
    @unittest.skipUnless(NAMED, "this Python's frames are not read")
    def test_a_loop_is_one_site(self):
        held = [bmem.alloc(200_000) for _ in range(20)]; here = line()
        mine = [s for s in bmem.live() if f"{HERE}:{here}" in s.name]
        self.assertEqual([(s.live_tensors, s.live_bytes) for s in mine],
                         [(20, 20 * 200_000)])
        del held

    @unittest.skipUnless(NAMED, "this Python's frames are not read")
    def test_innermost_first(self):
        def inner():
            return bmem.alloc(1 << 20)      # inner

        def outer():
            return inner()                  # outer

        first = inner.__code__.co_firstlineno
        b = outer(); here = line()
        self.assertEqual(self.site_of(b.address),
                         f"{HERE}:{first + 1} < {HERE}:{first + 4} < "
                         f"{HERE}:{here}")
        b.free()

    @unittest.skipUnless(NAMED, "this Python's frames are not read")
    def test_library_code(self):
        space = {"bmem": bmem}
        exec(compile("def f():\n\n    return bmem.alloc(1 << 20)\n"
                     "def g():\n    return f()\n",
                     "/usr/lib/python3/dist-packages/torch/nn/linear.py",
                     "exec"), space)
        b = space["g"](); here = line()
        # Of the library the innermost frame, then the program's.
        self.assertTrue(self.site_of(b.address).startswith(
            f"linear.py:3 < {HERE}:{here}"), self.site_of(b.address))
        b.free()

    @unittest.skipUnless(NAMED, "this Python's frames are not read")
    def test_code_that_is_made_anew(self):
        # Code objects come and go at the same addresses.
        for i in range(300):
            space = {"bmem": bmem}
            lines = i % 7
            exec(compile("\n" * lines + "def f(): return bmem.alloc(1 << 16)",
                         f"made{i}.py", "exec"), space)
            b = space["f"]()
            name = self.site_of(b.address)
            self.assertTrue(name.startswith(f"made{i}.py:{lines + 1} < "), name)
            b.free()

    @unittest.skipUnless(NAMED, "this Python's frames are not read")
    def test_names_of_files(self):
        for file, want in (("/a/b/pkg/__init__.py", "pkg/__init__.py:1"),
                           ("/a/caf\u00e9/na\u00efve.py", "na?ve.py:1"),
                           ("/a/\u65e5\u672c.py", "??.py:1"),
                           ("/a/\U0001f600.py", "?.py:1"),
                           ("/a/" + "x" * 300 + ".py", "x" * 63),
                           ("<string>", "<string>:1"),
                           ("", ":1")):
            space = {"bmem": bmem}
            exec(compile("def f(): return bmem.alloc(1 << 16)", file, "exec"),
                 space)
            b = space["f"]()
            name = self.site_of(b.address)
            self.assertTrue(name.startswith(want), (file, name))
            b.free()

    @unittest.skipUnless(NAMED, "this Python's frames are not read")
    def test_generators_and_threads(self):
        def generator():
            yield bmem.alloc(1 << 20)

        where = generator.__code__.co_firstlineno + 1
        b, = generator()
        self.assertIn(f"{HERE}:{where}", self.site_of(b.address))
        b.free()
        names = []

        def thread():
            b = bmem.alloc(1 << 20)
            names.append(self.site_of(b.address))
            b.free()

        where = thread.__code__.co_firstlineno + 1
        t = threading.Thread(target=thread)
        t.start()
        t.join()
        self.assertTrue(names[0].startswith(f"{HERE}:{where}"), names)

    @unittest.skipUnless(NAMED, "this Python's frames are not read")
    def test_many_threads_name_their_own_lines(self):
        source = "\n".join(f"def f{i}(): return bmem.alloc(70_000)"
                           for i in range(40))
        space = {"bmem": bmem}
        exec(compile(source, "many.py", "exec"), space)
        wrong = []

        def thread(seed):
            for n in range(200):
                i = (seed * 7 + n * 11) % 40
                b = space[f"f{i}"]()
                name = self.site_of(b.address)
                if not name.startswith(f"many.py:{i + 1} < "):
                    wrong.append((i, name))
                b.free()

        threads = [threading.Thread(target=thread, args=(s,))
                   for s in range(4)]
        for t in threads:
            t.start()
        for t in threads:
            t.join()
        self.assertEqual(wrong, [])

    def test_off_by_the_environment(self):
        out = run("import bmem\nb = bmem.alloc(1 << 20)\n"
                  "print(bmem.live()[0].name)", BMEM_PYTHON="off")
        self.assertNotIn("<string>", out)

    def test_an_exception_stays(self):
        try:
            raise KeyError("mine")
        except KeyError as error:
            b = bmem.alloc(1 << 20)
            b.free()
            self.assertEqual(error.args, ("mine",))

    def test_labels_of_small_ones(self):
        b = bmem.alloc(10); here = line()
        self.assertIn(f"{HERE}:{here}", self.site_of(b.address))
        b.free()
        b = bmem.alloc(10, label="mask")
        self.assertIn("mask", self.site_of(b.address))
        b.free()


class Scopes(Case):
    def test_nest_and_end(self):
        with bmem.scope("decoder"):
            with bmem.scope("kv-cache"):
                b = bmem.alloc(1 << 20)
            c = bmem.alloc(1 << 20)
        d = bmem.alloc(1 << 20)
        self.assertTrue(self.site_of(b.address)
                        .startswith("decoder/kv-cache @ "))
        self.assertTrue(self.site_of(c.address).startswith("decoder @ "))
        self.assertNotIn("decoder", self.site_of(d.address))
        for buffer in (b, c, d):
            buffer.free()

    def test_end_with_an_exception(self):
        with self.assertRaises(KeyError):
            with bmem.scope("gone"):
                raise KeyError
        b = bmem.alloc(1 << 20)
        self.assertNotIn("gone", self.site_of(b.address))
        b.free()

    def test_are_the_threads(self):
        names = []

        def thread():
            with bmem.alloc(1 << 20) as b:
                names.append(self.site_of(b.address))

        with bmem.scope("mine"):
            t = threading.Thread(target=thread)
            t.start()
            t.join()
        self.assertNotIn("mine", names[0])


class NoLeaks(Case):
    """Blocks that are to leave nothing behind."""

    def test_nothing_is_left(self):
        old = bmem.alloc(100000)
        with bmem.no_leaks():
            bmem.alloc(200000)
            with bmem.no_leaks():
                pass
        del old

    def test_what_is_left_is_named(self):
        with self.assertRaises(bmem.LeftBehind) as caught:
            with bmem.no_leaks(), bmem.scope("kept"):
                kept = bmem.alloc(200000)
                more = bmem.alloc(100)
        text = str(caught.exception)
        self.assertIn("200100 bytes in 2 tensors left behind", text)
        self.assertIn("kept", text)
        if NAMED:
            self.assertIn(HERE, text)
        del kept, more

    def test_garbage_is_not_left(self):
        class Node:
            pass

        with bmem.no_leaks():
            node = Node()
            node.self, node.data = node, bmem.alloc(200000)
            del node

    def test_an_error_inside_is_that_error(self):
        with self.assertRaises(KeyError):
            with bmem.no_leaks():
                kept = bmem.alloc(200000)
                raise KeyError
        del kept


class Reports(Case):
    def test_leaks_are_the_old_ones(self):
        old = bmem.alloc(3 << 20, label="old")
        time.sleep(0.5)
        new = bmem.alloc(4 << 20, label="new")
        names = [s.name for s in bmem.live()]
        self.assertTrue(any(n.startswith("old") for n in names), names)
        self.assertTrue(any(n.startswith("new") for n in names), names)
        found = bmem.leaks(older_than=0.4, min_bytes=3 << 20)
        # On a slow machine the new one may have become old as well.
        mine, = (s for s in found if s.name.startswith("old"))
        self.assertEqual((mine.live_tensors, mine.live_bytes), (1, 3 << 20))
        self.assertGreaterEqual(mine.oldest_s, 0.4)
        self.assertEqual(bmem.leaks(older_than=3600), [])
        self.assertEqual(bmem.live(min_bytes=1 << 40), [])
        # Beyond what C can say.
        self.assertEqual(bmem.live(min_bytes=1 << 64), [])
        self.assertEqual(bmem.live(older_than=1e30), [])
        self.assertEqual(bmem.live(older_than=float("inf")), [])
        self.assertGreaterEqual(len(bmem.live(older_than=-1, min_bytes=-1)), 2)
        old.free()
        new.free()

    def test_more_than_one_page_of_lists(self):
        with bmem.scope("many"):
            held = [bmem.alloc(16, label=f"site {i % 150}")
                    for i in range(3000)]
        # A sample of a site has a site of its own, of the same label.
        sums = {}
        for s in bmem.live():
            if s.name.startswith("many/"):
                label = s.name.split(" @ ")[0]
                count, nbytes = sums.get(label, (0, 0))
                sums[label] = count + s.live_tensors, nbytes + s.live_bytes
        self.assertEqual(len(sums), 150)
        self.assertEqual(set(sums.values()), {(20, 320)})
        for b in held:
            b.free()

    def test_largest_first_and_readable(self):
        small, large = bmem.alloc(1 << 20, label="s"), bmem.alloc(9 << 20)
        found = bmem.live()
        sizes = [s.live_bytes for s in found]
        self.assertEqual(sizes, sorted(sizes, reverse=True))
        self.assertIn("9.0 MiB in     1 tensors", str(found[0]))
        small.free()
        large.free()


class Buffers(Case):
    def test_bad_arguments(self):
        with self.assertRaises(ValueError):
            bmem.alloc(-1)
        with self.assertRaises(ValueError):
            bmem.alloc(10, "float128")
        for align in (3, -64, 1 << 32, 1 << 70):
            with self.assertRaises(bmem.Error) as caught:
                bmem.alloc(10, align=align)
            self.assertEqual(caught.exception.errno, 22)
        with self.assertRaises(MemoryError):
            bmem.alloc(1 << 62)
        with self.assertRaises(bmem.OutOfMemory):
            bmem.alloc((1 << 40, 1 << 40))
        for shape in ((0, 1 << 70), (0, 1 << 62, 1 << 62)):
            with self.assertRaises(bmem.OutOfMemory):
                bmem.alloc(shape)
        with bmem.alloc((0, 1 << 50)) as b:
            self.assertEqual(b.nbytes, 0)

    def test_lengths_are_integers(self):
        class Three:
            def __index__(self):
                return 3

        for shape in (Three(), [Three()], (3,), range(3, 4)):
            with bmem.alloc(shape) as b:
                self.assertEqual(b.shape, (3,))
        for shape in (3.0, (3.7,), "3", None):
            with self.assertRaises(TypeError):
                bmem.alloc(shape)

    def test_alignment_and_zero(self):
        for align in (64, 4096, 2 << 20):
            with bmem.alloc(100_000, align=align, zero=True) as b:
                self.assertEqual(b.address % align, 0)
                self.assertEqual(ctypes.string_at(b.address, b.nbytes),
                                 bytes(b.nbytes))
                ctypes.memset(b.address, 0xa5, b.nbytes)

    def test_free_twice_and_use_after(self):
        b = bmem.alloc(10)
        b.free()
        b.free()
        self.assertIn("freed", repr(b))
        with self.assertRaises(ValueError):
            b.__dlpack__()

    def test_goes_with_its_last_name(self):
        tensors, _ = self.live_here()
        b = bmem.alloc(1 << 20)
        self.assertEqual(self.live_here()[0], tensors + 1)
        del b
        self.assertEqual(self.live_here()[0], tensors)


class Capsules(Case):
    """DLPack without a consumer: what a capsule holds and when it ends."""

    class Tensor(ctypes.Structure):
        _fields_ = [("data", ctypes.c_void_p), ("device", ctypes.c_int32 * 2),
                    ("ndim", ctypes.c_int32), ("code", ctypes.c_uint8),
                    ("bits", ctypes.c_uint8), ("lanes", ctypes.c_uint16),
                    ("shape", ctypes.POINTER(ctypes.c_int64)),
                    ("strides", ctypes.POINTER(ctypes.c_int64)),
                    ("offset", ctypes.c_uint64)]

    #: Where the tensor and the deleter are in both forms.
    FORMS = {b"dltensor": (0, 56), b"dltensor_versioned": (32, 16)}

    @staticmethod
    def api(name, result, *arguments):
        return ctypes.PYFUNCTYPE(result, *arguments)(
            (name, ctypes.pythonapi))

    def open(self, capsule, name):
        valid = self.api("PyCapsule_IsValid", ctypes.c_int, ctypes.py_object,
                         ctypes.c_char_p)
        pointer = self.api("PyCapsule_GetPointer", ctypes.c_void_p,
                           ctypes.py_object, ctypes.c_char_p)
        self.assertTrue(valid(capsule, name))
        at = pointer(capsule, name)
        tensor_at, deleter_at = self.FORMS[name]
        return (at, self.Tensor.from_address(at + tensor_at),
                ctypes.CFUNCTYPE(None, ctypes.c_void_p)(
                    ctypes.c_void_p.from_address(at + deleter_at).value))

    def check(self, tensor, buffer):
        self.assertEqual(tensor.data, buffer.address)
        self.assertEqual(list(tensor.device), [1, 0])
        self.assertEqual(tensor.shape[:tensor.ndim], list(buffer.shape))
        self.assertEqual((tensor.code, tensor.bits, tensor.lanes, tensor.offset),
                         (2, 32, 1, 0))
        self.assertEqual(tensor.strides[:3], [20, 5, 1])

    def test_both_forms(self):
        b = bmem.alloc((3, 4, 5), "float32")
        for kwargs, name in (({}, b"dltensor"),
                             ({"max_version": (0, 8)}, b"dltensor"),
                             ({"max_version": None}, b"dltensor"),
                             ({"max_version": (1, 0)}, b"dltensor_versioned"),
                             ({"max_version": (2, 1)}, b"dltensor_versioned")):
            capsule = b.__dlpack__(**kwargs)
            at, tensor, _ = self.open(capsule, name)
            self.check(tensor, b)
            if name == b"dltensor_versioned":
                version = (ctypes.c_uint32 * 2).from_address(at)
                self.assertEqual(list(version), [1, 0])
            del capsule
        b.free()

    def test_what_cannot_be(self):
        b = bmem.alloc(8)
        for kwargs in ({"stream": 1}, {"copy": True}, {"dl_device": (2, 0)}):
            with self.assertRaises(BufferError):
                b.__dlpack__(**kwargs)
        self.assertEqual(b.__dlpack_device__(), (1, 0))
        b.free()

    def test_capsule_outlives_the_buffer(self):
        tensors, _ = self.live_here()
        b = bmem.alloc(1 << 20)
        capsule = b.__dlpack__()
        b.free()
        self.assertEqual(self.live_here()[0], tensors + 1)
        del capsule
        self.assertEqual(self.live_here()[0], tensors)

    def test_taken_and_deleted_late_by_another_thread(self):
        for name in self.FORMS:
            tensors, _ = self.live_here()
            version = (1, 0) if b"versioned" in name else None
            b = bmem.alloc((3, 4, 5), "float32")
            capsule = b.__dlpack__(max_version=version)
            at, tensor, deleter = self.open(capsule, name)
            rename = self.api("PyCapsule_SetName", ctypes.c_int,
                              ctypes.py_object, ctypes.c_char_p)
            used = b"used_" + name
            self.assertEqual(rename(capsule, used), 0)
            self.check(tensor, b)
            b.free()
            # A capsule that was taken frees nothing.
            del capsule
            self.assertEqual(self.live_here()[0], tensors + 1)
            # CFUNCTYPE lets go of the interpreter's lock around the call.
            t = threading.Thread(target=deleter, args=(at,))
            t.start()
            t.join()
            self.assertEqual(self.live_here()[0], tensors)


class Processes(unittest.TestCase):
    def test_configure(self):
        out = run("import bmem\n"
                  "bmem.configure('memfd', label='me', max_bytes=64 << 20)\n"
                  "print(bmem.stats().backend)\n"
                  "try:\n    bmem.alloc(128 << 20)\n"
                  "except MemoryError: print('no room')\n"
                  "try:\n    bmem.configure()\n"
                  "except RuntimeError: print('too late')\n")
        self.assertEqual(out.split("\n")[:3], ["memfd", "no room", "too late"])
        for bad in ("backend='gpu'", "level='loud'", "pool=1 << 32", "pool=-1",
                    "max_bytes=1 << 64", "max_bytes=-1"):
            done = run(f"import bmem\nbmem.configure({bad})", check=False)
            self.assertIn("ValueError", done.stderr)

    def test_no_library(self):
        with tempfile.NamedTemporaryFile(suffix=".so") as empty:
            done = run("import bmem", check=False, BMEM_LIBRARY=empty.name)
        self.assertIn("ImportError: no libbmem.so.0", done.stderr)
        self.assertIn("BMEM_LIBRARY", done.stderr)

    def test_fork(self):
        # As with malloc(): what a child writes is its own.
        out = run("import bmem, ctypes, os\n"
                  "b = bmem.alloc(1 << 20, zero=True)\n"
                  "pid = os.fork()\n"
                  "if pid == 0:\n"
                  "    ctypes.memset(b.address, 1, b.nbytes)\n"
                  "    c = bmem.alloc(1 << 20)\n"
                  "    os._exit(bmem.stats().live_tensors)\n"
                  "_, status = os.waitpid(pid, 0)\n"
                  "print(os.waitstatus_to_exitcode(status),\n"
                  "      bmem.stats().live_tensors,\n"
                  "      ctypes.string_at(b.address, 4))")
        self.assertEqual(out, "2 1 b'\\x00\\x00\\x00\\x00'\n")

    def test_exit_with_buffers_alive(self):
        out = run("import bmem\nheld = [bmem.alloc(n) for n in (1, 1 << 20)]\n"
                  "c = held[0].__dlpack__()\n"
                  "held.append(held)\nprint('end')")
        self.assertEqual(out, "end\n")

    def test_daemon_thread_at_exit(self):
        # It goes on allocating while the interpreter is taken down.
        out = run("import bmem, ctypes, threading, time\n"
                  "from bmem import _client, _lib\n"
                  "_lib.lib.bmem_free.argtypes = [ctypes.c_void_p] * 2\n"
                  "def go():\n"
                  "    while True: bmem.alloc(1 << 20).free()\n"
                  "for _ in range(3):\n"
                  "    threading.Thread(target=go, daemon=True).start()\n"
                  "time.sleep(0.2)\nprint('end')")
        self.assertEqual(out, "end\n")

    def test_help(self):
        out = run("import pydoc\nfor m in ('bmem', 'bmem.numpy', 'bmem.torch'):"
                  " print(pydoc.plain(pydoc.render_doc(m)))")
        for word in ("leaks(older_than", "not verdicts", "install(threshold",
                     "context of the thread"):
            self.assertIn(word, out)


if __name__ == "__main__":
    unittest.main()
