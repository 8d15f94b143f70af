"""Small TensorFlow graphs, each with what to feed it: one file per family of operators, `CASES` in each.

A case builds a graph on placeholders and returns the tensors to compare. What it is fed is random, from ranges that the
operators are defined on; a placeholder with unknown sizes is fed in several shapes.
"""

import importlib
import pkgutil
import zlib
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class In:
    """A placeholder and what it is fed.

    Attributes:
        shape: As the graph says it; None for a size that it leaves open, or for an unknown rank.
        fed: Shapes that are fed, the same number for every placeholder of a case; left out, the one of the graph.
        dtype: Element type.
        low, high: Range of the values; of integers, `high` is not reached.
        values: What is fed, where random numbers will not do.
    """

    shape: tuple | None
    fed: tuple = ()
    dtype: str = "float32"
    low: float = -2
    high: float = 2
    values: object = None

    def arrays(self, random):
        """One array per run."""
        if self.values is not None:
            return [np.asarray(self.values, self.dtype)]
        return [self._array(random, shape) for shape in self.fed or (self.shape,)]

    def _array(self, random, shape):
        if self.dtype == "bool":
            return random.integers(0, 2, shape).astype(bool)
        if np.issubdtype(self.dtype, np.integer):
            return random.integers(int(self.low), int(self.high), shape).astype(self.dtype)
        return random.uniform(self.low, self.high, shape).astype(self.dtype)


@dataclass(frozen=True)
class Case:
    """A graph: `build(tf, *placeholders)` gives its outputs."""

    build: object
    inputs: tuple

    def runs(self, name):
        """What is fed: a list of arrays per run."""
        random = np.random.default_rng(zlib.crc32(name.encode()))
        return [list(run) for run in zip(*(given.arrays(random) for given in self.inputs), strict=True)]


def constant(tf, *shape, seed=0, low=-1.0, high=1.0):
    """Random weights, stored in the graph."""
    return tf.constant(np.random.default_rng(seed).uniform(low, high, shape).astype(np.float32))


def cases():
    """Every case by its name, which begins with that of its operator."""
    found = {}
    for module in pkgutil.iter_modules(__path__):
        for name, (build, *inputs) in importlib.import_module(f"{__name__}.{module.name}").CASES.items():
            assert name not in found, name
            found[name] = Case(build, tuple(inputs))
    return found
