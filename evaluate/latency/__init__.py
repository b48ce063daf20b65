"""Latency of streamed output: one metric per module, two clocks, and other toolkits' ways in `compat`."""

from evaluate.latency.atd import average_token_delay
from evaluate.latency.clocks import Clock, queue_clock
from evaluate.latency.dal import differentiable_average_lagging
from evaluate.latency.effort import normalized_erasure, num_chunks, real_time_factor
from evaluate.latency.lagging import average_lagging, length_adaptive_lagging, unit_lags
from evaluate.latency.offsets import end_offset, lag_percentiles, start_offset
from evaluate.latency.proportion import average_proportion
from evaluate.latency.report import LatencyReport, report_latency
from evaluate.latency.yaal import long_yaal, yaal

__all__ = [
    "Clock",
    "LatencyReport",
    "average_lagging",
    "average_proportion",
    "average_token_delay",
    "differentiable_average_lagging",
    "end_offset",
    "lag_percentiles",
    "length_adaptive_lagging",
    "long_yaal",
    "normalized_erasure",
    "num_chunks",
    "queue_clock",
    "real_time_factor",
    "report_latency",
    "start_offset",
    "unit_lags",
    "yaal",
]
