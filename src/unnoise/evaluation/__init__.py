"""Denoisers on noisy pictures whose truth is known, or not: metrics, tables of results, reports."""
