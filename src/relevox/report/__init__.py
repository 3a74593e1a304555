"""Figures, tables and self-contained pages: results in, HTML out."""
