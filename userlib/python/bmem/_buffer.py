# SPDX-License-Identifier: LGPL-2.1-or-later OR MIT
"""Memory that NumPy, PyTorch and others use in place."""

import ctypes
import math
import operator
import os
import sys

from . import _lib
from ._client import client

_native = None

#: DLPack's code and the size of each type
_TYPES = {"int8": (0, 8), "int16": (0, 16), "int32": (0, 32),
          "int64": (0, 64), "uint8": (1, 8), "uint16": (1, 16),
          "uint32": (1, 32), "uint64": (1, 64), "float16": (2, 16),
          "float32": (2, 32), "float64": (2, 64), "bfloat16": (4, 16),
          "complex64": (5, 64), "complex128": (5, 128), "bool": (6, 8)}

#: how the array interface writes DLPack's codes
_KINDS = {0: "i", 1: "u", 2: "f", 5: "c", 6: "b"}

_CPU = (1, 0)


def _load():
    global _native
    if not _native:
        _native = _lib.native()
    return _native


def _shape(shape):
    # Of NumPy's integers as well, and of nothing that would be cut to one.
    try:
        shape = operator.index(shape),
    except TypeError:
        shape = tuple(operator.index(length) for length in shape)
    if any(length < 0 for length in shape):
        raise ValueError(f"shape {shape} has a negative length")
    return shape


def _place():
    """The caller's file and line, for what is too small to be looked at."""
    frame = sys._getframe(2)
    return f"{os.path.basename(frame.f_code.co_filename)}:{frame.f_lineno}"


class _Block:
    """One reference to a block; the last of all frees the tensor."""

    __slots__ = ("raw",)

    def __init__(self, raw):
        self.raw = raw

    def __del__(self):
        if _native:
            _native.bmem_block_put(self.raw)


class Buffer:
    """A tensor of bmem, rows first; from alloc().

    np.asarray(b), np.from_dlpack(b) and torch.from_dlpack(b) use the memory in
    place.  It is freed when the buffer and all that came of it are gone,
    whatever goes last, in whichever thread.
    """

    __slots__ = ("_block", "address", "shape", "dtype", "nbytes")

    def __init__(self, block, shape, dtype, nbytes):
        self._block = block
        self.address = _native.bmem_block_ptr(block.raw)
        self.shape = shape
        self.dtype = dtype
        self.nbytes = nbytes

    def __repr__(self):
        state = "freed" if self._block is None else f"at {self.address:#x}"
        return f"<bmem.Buffer {self.dtype}{list(self.shape)}, {state}>"

    def _held(self):
        if self._block is None:
            raise ValueError("the buffer was freed")
        return self._block

    def free(self):
        """Let go of the memory; arrays made of it keep it."""
        self._block = None

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        self.free()

    @property
    def __array_interface__(self):
        code, bits = _TYPES[self.dtype]
        if code not in _KINDS:
            # AttributeError would have NumPy make an object of it.
            raise TypeError(f"NumPy has no {self.dtype}")
        # Of an address arrays would hold the buffer, not what it lets go of.
        memory = (ctypes.c_char * self.nbytes).from_address(self.address)
        memory.block = self._held()
        return {"version": 3, "shape": self.shape, "data": memory,
                "typestr": f"{'|' if bits == 8 else '<'}{_KINDS[code]}"
                           f"{bits // 8}"}

    def __dlpack_device__(self):
        """Where the memory is, in DLPack's terms: the CPU's."""
        return _CPU

    def __dlpack__(self, *, stream=None, max_version=None, dl_device=None,
                   copy=None):
        """A capsule: of DLPack 1.0 where the consumer has it, else of 0.6."""
        if stream is not None:
            raise BufferError("memory of the CPU has no streams")
        if dl_device is not None and tuple(dl_device) != _CPU:
            raise BufferError(f"this is memory of the CPU, not {dl_device}")
        if copy:
            raise BufferError("the memory is lent, not copied")
        versioned = max_version is not None and max_version[0] >= 1
        shape = (ctypes.c_int64 * len(self.shape))(*self.shape)
        code, bits = _TYPES[self.dtype]
        return _native.bmem_block_dlpack(self._held().raw, len(shape), shape,
                                         code, bits, versioned)


def alloc(shape, dtype="uint8", *, align=0, zero=False, label=None):
    """Allocate memory for an array, as a Buffer.

    shape   a number of elements, or one for each dimension
    dtype   the elements' type, "float32" say; bytes without
    align   0, or a power of two from 64 to 2 MiB
    zero    have it read as zero
    label   what it is for, in the name of the call site

    Raises bmem.OutOfMemory, which is a MemoryError, when there is no room.
    """
    shape = _shape(shape)
    if str(dtype) not in _TYPES:
        raise ValueError(f"dtype {dtype!r} is none of {', '.join(_TYPES)}")
    size = _TYPES[str(dtype)][1] // 8
    nbytes = math.prod(shape) * size
    # More than there are addresses; or than strides of nothing can say.
    if nbytes >> 47 or math.prod(n or 1 for n in shape) * size >> 63:
        raise _lib.error(_lib.errno.EFBIG)
    if align >> 32:
        raise _lib.error(_lib.errno.EINVAL)
    if label is None and nbytes < 64 << 10:
        label = _place()
    block = _load().bmem_block_new(client(), max(nbytes, 1), align,
                                   _lib.ALLOC_ZERO if zero else 0,
                                   None if label is None else label.encode())
    if not block:
        raise _lib.error(ctypes.get_errno())
    return Buffer(_Block(block), shape, str(dtype), nbytes)
