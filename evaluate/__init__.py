"""Streaming simulation, latency and quality metrics, significance and reports."""
