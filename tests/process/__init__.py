"""The process around the sockets: exit, signals, threads, forks, interpreters, memory."""
