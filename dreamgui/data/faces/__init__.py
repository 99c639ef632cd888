"""Faces, bodies and identities in photographs."""
