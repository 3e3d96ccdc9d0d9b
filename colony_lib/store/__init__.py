"""Floor 1: one module for each kind of thing on disk."""
