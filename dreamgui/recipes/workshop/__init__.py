"""Recipes of the workshop: trained files exported, merged, extracted from and inspected."""
