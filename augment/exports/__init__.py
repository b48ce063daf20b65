"""Exports write a dataset as another tool's training files: audio files beside a manifest, with relative paths."""

from __future__ import annotations

from augment.exports.base import Export, ExportError, ExportFormat, Line
from augment.exports.llamafactory import LLAMAFACTORY
from augment.exports.ms_swift import MS_SWIFT
from augment.exports.nemo import NEMO
from augment.exports.trl import TRL
from augment.exports.write import export_dataset

__all__ = ["FORMATS", "Export", "ExportError", "ExportFormat", "Line", "export_dataset"]

FORMATS: dict[str, ExportFormat] = {format.name: format for format in (MS_SWIFT, LLAMAFACTORY, NEMO, TRL)}
