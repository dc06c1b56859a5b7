"""Print only what contains a word, in whatever room it is said.

    python examples/keyword_filter.py pizza
    python examples/keyword_filter.py pizza 192.168.1.12

A topic is filtered by the publisher, before anything is sent; a word in the text
is filtered here, after it has come.
"""

import sys

from zmqchat_rs import Subscriber

if len(sys.argv) < 2:
    sys.exit("usage: python examples/keyword_filter.py WORD [ADDRESS]")
word = sys.argv[1].lower()
address = sys.argv[2] if len(sys.argv) > 2 else "127.0.0.1"

seen = shown = 0
# No topics: everything. Without split_topics, 'room1:Hello' would be text as a whole.
with Subscriber(address, split_topics=True) as sub:
    try:
        for message in sub:
            seen += 1
            if word in message.text.lower():
                shown += 1
                # What strangers send may hold codes that drive a terminal: render() escapes them.
                print(message.render(color=sys.stdout.isatty()), flush=True)
    except KeyboardInterrupt:
        print(f"{shown} of {seen} messages contain '{word}'.")

# Try next: highlight the word; or take a regular expression (the module re).
