"""The installed package and how it is built."""
