"""The class `Relay`."""
