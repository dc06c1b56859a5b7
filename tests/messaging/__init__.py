"""Publishers, subscribers, topics, messages, tables and statistics."""
