// Included before each of libzmq's files, on Linux: what happens to its sockets when the process has
// no descriptor left, and when it forks.
//
// Without a descriptor, libzmq leaves a new connection in the listener's queue and is woken for it
// again at once, forever, which takes a whole CPU; over ipc:// it aborts the process. Here one
// descriptor is kept in reserve. It makes room for the connection, which is closed; the peer tries
// again later, as after any other broken connection.
//
// After a fork the child owns a copy of every socket: the parent's ports stay taken and its
// connections established for as long as the child lives. Here the open sockets are in a table, and
// the child closes them. (Only these: libzmq asserts that its eventfds are open.)

#ifdef __cplusplus

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stddef.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define ZMQCHAT_EXPORTED extern "C" __attribute__ ((used))

// One bit for each descriptor; those above the limit, which is Linux's default for the highest that
// a process may open, are not in the table. Atomic, not locked: the child reads it after a fork.
enum
{
    zmqchat_most_descriptors = 1 << 20,
    zmqchat_word_bits = 64
};

inline unsigned long long *zmqchat_table ()
{
    static unsigned long long table[zmqchat_most_descriptors / zmqchat_word_bits];
    return table;
}

// Held for reading while a descriptor is opened and entered, or removed and closed, and for writing
// during a fork: a child never sees a socket without its entry, or an entry without its socket.
inline pthread_rwlock_t *zmqchat_fork_gate ()
{
    static pthread_rwlock_t gate = PTHREAD_RWLOCK_INITIALIZER;
    return &gate;
}

ZMQCHAT_EXPORTED inline void zmqchat_hold_forks ()
{
    pthread_rwlock_rdlock (zmqchat_fork_gate ());
}

ZMQCHAT_EXPORTED inline void zmqchat_allow_forks ()
{
    const int error = errno;
    pthread_rwlock_unlock (zmqchat_fork_gate ());
    errno = error;
}

// Both are called while forks are held.
ZMQCHAT_EXPORTED inline void zmqchat_enter_descriptor (int descriptor_)
{
    if (descriptor_ >= 0 && descriptor_ < zmqchat_most_descriptors)
        __atomic_fetch_or (&zmqchat_table ()[descriptor_ / zmqchat_word_bits],
                           1ULL << (descriptor_ % zmqchat_word_bits), __ATOMIC_SEQ_CST);
}

ZMQCHAT_EXPORTED inline void zmqchat_remove_descriptor (int descriptor_)
{
    if (descriptor_ >= 0 && descriptor_ < zmqchat_most_descriptors)
        __atomic_fetch_and (&zmqchat_table ()[descriptor_ / zmqchat_word_bits],
                            ~(1ULL << (descriptor_ % zmqchat_word_bits)), __ATOMIC_SEQ_CST);
}

inline bool *zmqchat_holds_gate ()
{
    static __thread bool holds = false;
    return &holds;
}

// Gives up after a second: a fork must not hang, whatever libzmq's thread is doing.
ZMQCHAT_EXPORTED inline void zmqchat_before_fork ()
{
    struct timespec deadline;
    clock_gettime (CLOCK_REALTIME, &deadline);
    deadline.tv_sec += 1;
    *zmqchat_holds_gate () =
      pthread_rwlock_timedwrlock (zmqchat_fork_gate (), &deadline) == 0;
}

ZMQCHAT_EXPORTED inline void zmqchat_after_fork_in_parent ()
{
    if (*zmqchat_holds_gate ())
        pthread_rwlock_unlock (zmqchat_fork_gate ());
    *zmqchat_holds_gate () = false;
}

// `close`, never `shutdown`: the connection is the parent's. What the parent's libzmq polls stays
// registered, because its own descriptor is still open.
ZMQCHAT_EXPORTED inline void zmqchat_after_fork_in_child ()
{
    const pthread_rwlock_t fresh = PTHREAD_RWLOCK_INITIALIZER;
    *zmqchat_fork_gate () = fresh;
    *zmqchat_holds_gate () = false;
    const int error = errno;
    unsigned long long *table = zmqchat_table ();
    for (int word = 0; word < zmqchat_most_descriptors / zmqchat_word_bits; word++) {
        while (table[word] != 0) {
            const int bit = __builtin_ctzll (table[word]);
            table[word] &= table[word] - 1;
            close (word * zmqchat_word_bits + bit);
        }
    }
    errno = error;
}

inline int zmqchat_socket (int domain_, int type_, int protocol_)
{
    zmqchat_hold_forks ();
    const int descriptor = socket (domain_, type_, protocol_);
    zmqchat_enter_descriptor (descriptor);
    zmqchat_allow_forks ();
    return descriptor;
}

inline int zmqchat_close (int descriptor_)
{
    // Removed first: as soon as it is closed, the number may be another thread's file.
    zmqchat_hold_forks ();
    zmqchat_remove_descriptor (descriptor_);
    const int result = close (descriptor_);
    zmqchat_allow_forks ();
    return result;
}

// Only libzmq's one I/O thread accepts connections, so the reserve has one user.
inline int zmqchat_accept4 (int listener_, sockaddr *address_, socklen_t *size_, int flags_)
{
    static int reserve = -1;
    if (reserve == -1)
        reserve = open ("/dev/null", O_RDONLY | O_CLOEXEC);
    zmqchat_hold_forks ();
    const int accepted = accept4 (listener_, address_, size_, flags_);
    zmqchat_enter_descriptor (accepted);
    zmqchat_allow_forks ();
    if (accepted != -1 || (errno != EMFILE && errno != ENFILE))
        return accepted;
    if (reserve != -1) {
        close (reserve);
        const int refused = accept4 (listener_, NULL, NULL, SOCK_CLOEXEC);
        if (refused != -1)
            close (refused);
        reserve = open ("/dev/null", O_RDONLY | O_CLOEXEC);
    }
    // Of the two, the one that all of libzmq's listeners take.
    errno = ENFILE;
    return -1;
}

// Methods of these names are renamed as well, in all of libzmq's files alike.
#define socket zmqchat_socket
#define close zmqchat_close
#define accept4 zmqchat_accept4

#endif
