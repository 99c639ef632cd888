"""Triton kernels and changed modules: what makes the same numbers come faster."""
