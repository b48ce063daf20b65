"""The embedded default: a spoken toy corpus whose truth is known, and a micro LALM trained on it."""
