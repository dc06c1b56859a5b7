"""Print the messages that contain a word, of all rooms.

    python examples/keyword_filter.py pizza
    python examples/keyword_filter.py pizza 192.168.1.12

The publisher filters by topic, before it sends a message. This program filters by a word
in the text, after it has received the message.
"""

import sys

from zmqchat_rs import Subscriber

if len(sys.argv) < 2:
    sys.exit("usage: python examples/keyword_filter.py WORD [ADDRESS]")
word = sys.argv[1].lower()
address = sys.argv[2] if len(sys.argv) > 2 else "127.0.0.1"

seen = shown = 0
# Without topics: every message. Without split_topics, the text would be 'room1:Hello'.
with Subscriber(address, split_topics=True) as sub:
    try:
        for message in sub:
            seen += 1
            if word in message.text.lower():
                shown += 1
                # A message may contain terminal control codes: render() escapes them.
                print(message.render(color=sys.stdout.isatty()), flush=True)
    except KeyboardInterrupt:
        print(f"{shown} of {seen} messages contain '{word}'.")

# Try next: highlight the word, or search for a regular expression (module re).
