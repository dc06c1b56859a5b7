"""Faults on real sockets: killed processes, cut links, crowds, hostile peers, leaks."""
