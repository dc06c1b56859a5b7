"""Write every message to a log file, and print it.

    python examples/logger.py                           to chat.log
    python examples/logger.py lesson.log 192.168.1.12

    zmqchat log chat.log --grep pizza                   searches the log
    zmqchat replay chat.log                             prints it again at its original pace

Each message is one line. When you run the program again, it appends to the file,
even after a crash.
"""

import sys

from zmqchat_rs import Subscriber, Transcript, read_transcript

path = sys.argv[1] if len(sys.argv) > 1 else "chat.log"
address = sys.argv[2] if len(sys.argv) > 2 else "127.0.0.1"

with Transcript(path) as log, Subscriber(address) as sub:
    sub.listen(log=log)  # until Ctrl+C
    print(f"{log.count} messages were added to {log.path}")

# Messages of publishers without a name are logged whole, for example "room1:Hello".
topics = {message.topic for message in read_transcript(path)}
print("Topics in the whole file:", *sorted(topic for topic in topics if topic))

# Try next: read_transcript("chat.log", topics=["room1"]); zmqchat_rs.to_pandas("chat.log").
