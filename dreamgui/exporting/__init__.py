"""Exports: files for other programs, each with a certificate."""
