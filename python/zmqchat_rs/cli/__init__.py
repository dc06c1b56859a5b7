"""The command ``zmqchat``; `zmqchat_rs.cli.main` is its entry."""
