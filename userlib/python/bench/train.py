# SPDX-License-Identifier: LGPL-2.1-or-later OR MIT
"""Trains a small network as programs do, and prints what came of it.

usage: train.py cnn|transformer [--steps N] [--small]

Two threads inside of operations, a second Python thread that evaluates while
the first one trains, a DataLoader with two workers that are forked, a file
that the state is saved to and loaded from half way.  All seeds are fixed and
nothing depends on timing: the output is the same every time, whatever memory
the tensors are in.  It knows nothing of bmem.
"""

import argparse
import hashlib
import os
import queue
import tempfile
import threading

import torch
from torch import nn
from torch.utils.data import DataLoader, Dataset


class Images(Dataset):
    """Numbered pictures, each made of its number."""

    classes = 10

    def __init__(self, count, side):
        self.count, self.side = count, side

    def __len__(self):
        return self.count

    def __getitem__(self, i):
        g = torch.Generator().manual_seed(i)
        return (torch.randn(3, self.side, self.side, generator=g),
                i % self.classes)


class Texts(Dataset):
    """Numbered sequences, to be continued by one."""

    classes = 500

    def __init__(self, count, length):
        self.count, self.length = count, length

    def __len__(self):
        return self.count

    def __getitem__(self, i):
        g = torch.Generator().manual_seed(i)
        text = torch.randint(self.classes, (self.length + 1,), generator=g)
        return text[:-1], text[1:]


class Cnn(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(3, width, 3, padding=1), nn.BatchNorm2d(width),
            nn.ReLU(), nn.MaxPool2d(2),
            nn.Conv2d(width, 2 * width, 3, padding=1),
            nn.BatchNorm2d(2 * width), nn.ReLU(), nn.MaxPool2d(2),
            nn.Conv2d(2 * width, 4 * width, 3, padding=1), nn.ReLU(),
            nn.AdaptiveAvgPool2d(4), nn.Flatten(),
            nn.Linear(64 * width, 256), nn.ReLU(), nn.Dropout(0.1),
            nn.Linear(256, Images.classes))

    def forward(self, x):
        return self.body(x)


class Transformer(nn.Module):
    def __init__(self, width, layers, length):
        super().__init__()
        self.words = nn.Embedding(Texts.classes, width)
        self.places = nn.Parameter(torch.zeros(length, width))
        layer = nn.TransformerEncoderLayer(width, 4, 4 * width, dropout=0.1,
                                           batch_first=True)
        self.layers = nn.TransformerEncoder(layer, layers)
        self.out = nn.Linear(width, Texts.classes)
        mask = torch.triu(torch.ones(length, length), 1).bool()
        self.register_buffer("mask", mask)

    def forward(self, x):
        x = self.words(x) + self.places
        return self.out(self.layers(x, self.mask)).transpose(1, 2)


def parts(kind, small):
    """A model, its data, and how many of these make a batch."""
    if kind == "cnn":
        side, width, batch = (32, 8, 8) if small else (64, 16, 32)
        return Cnn(width), Images(10_000, side), batch
    width, layers, length, batch = (64, 2, 32, 4) if small else (128, 2, 64, 8)
    return Transformer(width, layers, length), Texts(10_000, length), batch


def digest(tensors):
    """All bits of some tensors, in short."""
    h = hashlib.sha256()
    for t in tensors:
        h.update(t.detach().contiguous().view(-1).numpy().tobytes())
    return h.hexdigest()[:16]


class Evaluator(threading.Thread):
    """Evaluates copies of the model in a thread of its own."""

    def __init__(self, model, batch):
        super().__init__()
        self.model, self.batch = model.eval(), batch
        self.states, self.results = queue.Queue(1), []

    def run(self):
        torch.set_num_threads(1)
        while (state := self.states.get()) is not None:
            self.model.load_state_dict(state)
            with torch.no_grad():
                self.results.append(digest([self.model(self.batch)]))


def save_and_load(model, optimizer):
    with tempfile.TemporaryDirectory() as folder:
        file = os.path.join(folder, "state.pt")
        torch.save({"model": model.state_dict(),
                    "optimizer": optimizer.state_dict()}, file)
        state = torch.load(file)
    model.load_state_dict(state["model"])
    optimizer.load_state_dict(state["optimizer"])
    return digest(state["model"].values())


def train(kind, steps, small):
    torch.manual_seed(7)
    torch.set_num_threads(2)
    model, data, batch = parts(kind, small)
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    loss_of = nn.CrossEntropyLoss()
    loader = iter(DataLoader(data, batch, num_workers=2,
                             multiprocessing_context="fork"))
    copy, _, _ = parts(kind, small)
    evaluator = Evaluator(copy, next(loader)[0])
    torch.manual_seed(11)
    evaluator.start()
    losses = []
    for step in range(steps):
        x, y = next(loader)
        optimizer.zero_grad()
        loss = loss_of(model(x), y)
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
        if step % 4 == 3:
            evaluator.states.put({k: v.clone() for k, v
                                  in model.state_dict().items()})
        if step == steps // 2:
            print("saved", save_and_load(model, optimizer))
    evaluator.states.put(None)
    evaluator.join()
    print("losses", hashlib.sha256(repr(losses).encode()).hexdigest()[:16],
          f"{losses[0]:.4f} to {losses[-1]:.4f}")
    print("evaluations", len(evaluator.results),
          hashlib.sha256(repr(evaluator.results).encode()).hexdigest()[:16])
    print("parameters", digest(model.parameters()))
    print("optimizer", digest(t for s in optimizer.state.values()
                              for t in s.values()))


def main():
    options = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    options.add_argument("kind", choices=("cnn", "transformer"))
    options.add_argument("--steps", type=int, default=20)
    options.add_argument("--small", action="store_true",
                         help="small enough for an emulated machine")
    args = options.parse_args()
    train(args.kind, args.steps, args.small)


if __name__ == "__main__":
    main()
