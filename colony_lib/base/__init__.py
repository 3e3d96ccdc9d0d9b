"""Floor 0: files, locks, text and time; knows nothing of colonies."""
