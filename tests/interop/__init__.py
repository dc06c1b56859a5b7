"""Both directions between this package and pyzmq."""
