"""Publishers, subscribers, topics, messages and what becomes of them."""
