"""Floor 3, beside what it shows: the full-screen view of a colony. It reads files and starts Colony's own commands."""
