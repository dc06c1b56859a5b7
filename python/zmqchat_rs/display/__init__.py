"""Messages for people: lines on a terminal, and displays in a notebook."""
