"""Measures speed beside the peers; one command for each area."""
