"""Prefect flows and the simulsa command line."""
