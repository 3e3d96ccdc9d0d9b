"""An agent's step: what it is given, the process in which it is done, and the loop between a model and its tools."""
