"""Whether a publisher answers at one address; see `zmqchat_rs.diagnostics.probe`."""

from .diagnostics.probe import SUBSCRIPTION, Probe, probe

__all__ = ["SUBSCRIPTION", "Probe", "probe"]
