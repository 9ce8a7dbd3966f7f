"""Implementations of `imagestore.backend.StoreBackend`: SQL tables, and Docker's own directory."""
