"""Evaluation of denoisers with and without clean references: metrics, result tables and reports."""
