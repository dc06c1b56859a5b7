"""What the tests share: timeouts, processes, terminals, peers, networks."""
