"""COMET scores of translations, computed in COMET's own environment: optional, and cached by whoever asks."""

from __future__ import annotations

from lalm.comet.checkpoint import Checkpoint, open_checkpoint
from lalm.comet.config import COMET_VERSION, CometConfig, CometError
from lalm.comet.scorer import CometScorer, Segment

__all__ = [
    "COMET_VERSION",
    "Checkpoint",
    "CometConfig",
    "CometError",
    "CometScorer",
    "Segment",
    "open_checkpoint",
]
