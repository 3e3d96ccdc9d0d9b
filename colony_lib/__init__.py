"""Colony: data pipelines done by agents and commands that meet in plain files."""

__version__ = "0.1.0"
