"""When a step's output was really there: the audio it waited for, and the computing that was in its way."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from evaluate.trace import Step, StreamTrace

Clock = Callable[[Sequence[Step]], list[float]]
"""The time in ms at which each step's output was there; steps have their `compute_s`."""


def queue_clock(steps: Sequence[Step]) -> list[float]:
    """F_k = max(a_k, F_{k−1}) + C_k, silent steps included: one machine, one step after the other, in ms.

    a_k is the audio that step k had to hear, C_k its compute. A system slower than real time falls behind
    further with every step; one that is faster catches up while it waits for audio.
    """
    times: list[float] = []
    free_ms = 0.0
    for step in steps:
        free_ms = max(step.audio_ms, free_ms) + compute_ms(step)
        times.append(free_ms)
    return times


def compute_ms(step: Step) -> float:
    """The compute of a step that has one."""
    if step.compute_s is None:
        raise ValueError("a step without compute_s has no place on a computation-aware clock")
    return step.compute_s * 1000


def knows_compute(trace: StreamTrace) -> bool:
    """Whether every step of the trace says how long it computed."""
    return all(step.compute_s is not None for step in trace.steps)


def unit_times(trace: StreamTrace, clock: Clock) -> tuple[float, ...]:
    """The computation-aware time of every unit of a trace whose steps all know their compute, in ms."""
    times = clock(trace.steps)
    return tuple(times[step] for step in emission_steps(trace))


def emission_steps(trace: StreamTrace) -> list[int]:
    """The index of the step that completed each unit: the one it names, or the first that heard its delay."""
    indices, step = [], 0
    for emission in trace.emissions:
        if emission.step is not None:
            step = emission.step
        else:
            while trace.steps[step].audio_ms < emission.delay_ms:
                step += 1
        indices.append(step)
    return indices
