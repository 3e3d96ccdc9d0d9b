"""The data tools: from sources to a loaded warehouse, each tool meeting the next in plain files."""
