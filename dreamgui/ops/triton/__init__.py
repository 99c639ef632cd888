"""Triton kernels. PyTorch is the fallback."""
