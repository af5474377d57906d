# SPDX-License-Identifier: GPL-2.0-only
"""Fits a small network to noisy data with NumPy.

It knows nothing of bmem. And it has a leak: see if you can find it before
bmem does. (No np.maximum() here: QEMU 7.2 has the gather instructions of AVX2
wrong, which NumPy has it use, and such a program crashes in an emulated VM.)
"""

import sys

import numpy as np

STEPS = int(sys.argv[1]) if len(sys.argv) > 1 else 24

rng = np.random.default_rng(1)
history = []


class Layer:
    def __init__(self, inputs, outputs):
        self.w = rng.standard_normal((inputs, outputs), np.float32) * 0.05

    def forward(self, x):
        self.x = x
        y = x @ self.w
        self.on = y > 0
        return y * self.on

    def backward(self, dy):
        dy = dy * self.on
        self.dw = self.x.T @ dy
        return dy @ self.w.T


def loss_of(y, target):
    error = y - target
    history.append(error)
    return float(np.mean(error * error)), error * np.float32(2 / len(error))


def step(layers, x, target):
    for layer in layers:
        x = layer.forward(x)
    loss, dy = loss_of(x, target)
    for layer in reversed(layers):
        dy = layer.backward(dy)
        layer.w -= np.float32(0.05) * layer.dw
    return loss


layers = [Layer(64, 128), Layer(128, 1024)]
for n in range(STEPS):
    x = rng.standard_normal((512, 64), np.float32)
    loss = step(layers, x, np.repeat(x * x, 16, axis=1))
print(f"fit: {STEPS} steps, loss {loss:.3f}; press Enter to end", flush=True)
sys.stdin.readline()
