"""Messages as data: NumPy arrays as payloads, and tables of messages."""
