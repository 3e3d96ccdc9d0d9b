"""Floor 2: what runs workflows and steps."""
