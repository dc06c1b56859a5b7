"""The class `Chat`."""
