"""README, examples and `help()`."""
