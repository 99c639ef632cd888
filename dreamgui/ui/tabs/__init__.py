"""Tabs: a module or a folder each."""
