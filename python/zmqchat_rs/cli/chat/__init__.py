"""The session that ``zmqchat chat`` runs, on a terminal or in a pipe."""
