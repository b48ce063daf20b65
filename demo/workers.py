"""Ordered results from several processes, or from this one when a single worker is asked for."""

import os
import sys
from collections.abc import Callable, Iterator, Sequence
from multiprocessing import get_context
from typing import TypeVar

A = TypeVar("A")
B = TypeVar("B")


def _use_one_thread() -> None:
    """Workers are the parallelism: a library that one of them loads must not start threads of its own."""
    os.environ["OMP_NUM_THREADS"] = "1"
    if "torch" in sys.modules:
        sys.modules["torch"].set_num_threads(1)


def parallel_map(
    function: Callable[[A], B], arguments: Sequence[A], *, workers: int, chunk_size: int = 1
) -> Iterator[B]:
    """Yield ``function`` of each argument in order; the function and its results must be picklable."""
    if workers <= 1:
        yield from map(function, arguments)
        return
    with get_context("spawn").Pool(workers, initializer=_use_one_thread) as pool:
        yield from pool.imap(function, arguments, chunksize=chunk_size)
