"""The errors a user can cause; each message names the object, the rule, the value and the remedy."""

from __future__ import annotations


class SimulsaError(Exception):
    """Base of every error that simulsa raises for a reason that its user can mend."""


class ModelError(SimulsaError):
    """A model directory or Hub id that cannot be loaded, or that no declared family covers."""


class EngineError(SimulsaError):
    """An engine that cannot start or go on."""
