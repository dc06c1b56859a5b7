"""The commands of ``zmqchat``, one per file; each has `add_to`, which declares its options."""
