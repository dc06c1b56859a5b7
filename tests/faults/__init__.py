"""Faults on real sockets: killed processes, cut links, many peers, hostile peers, leaks."""
