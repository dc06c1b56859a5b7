"""The command `zmqchat`."""
