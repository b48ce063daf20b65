"""The errors that a user of fine-tuning can cause."""

from __future__ import annotations

from lalm.errors import SimulsaError


class TrainError(SimulsaError):
    """Fine-tuning that cannot start or go on; the message says what to change."""
