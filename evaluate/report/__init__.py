"""The evaluation report: one self-contained page, and the geometry and intervals that it shows."""

from evaluate.report.data import FailureRow, ReportData, StageRow
from evaluate.report.page import render_report, report_html

__all__ = ["FailureRow", "ReportData", "StageRow", "render_report", "report_html"]
