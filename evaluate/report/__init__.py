"""The evaluation report: one self-contained page, and the geometry and intervals that it shows."""

from evaluate.report.data import FailureRow, NeuralPoint, PolicyCurve, ReportData, StageRow, TimedPoint
from evaluate.report.page import render_report, report_html

__all__ = [
    "FailureRow",
    "NeuralPoint",
    "PolicyCurve",
    "ReportData",
    "StageRow",
    "TimedPoint",
    "render_report",
    "report_html",
]
