// Included before each of libzmq's files, on Linux. Handles libzmq's sockets when the process has
// no descriptor left, and when it forks.
//
// Without a descriptor, libzmq leaves a new connection in the listener's queue. Its poll then
// returns at once, forever, which uses a whole CPU; over ipc:// libzmq aborts the process. Here one
// descriptor is kept in reserve. It is used to accept the connection and to close it. A second one
// takes its place without a moment in which another thread could. The peer reconnects later, as
// after any other broken connection.
//
// After a fork, the child has a copy of every socket. The parent's ports stay in use and its
// connections stay established until the child exits. Here a table lists the open sockets, and the
// child closes them. It does not close eventfds, because libzmq asserts that they are open.

#ifdef __cplusplus

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stddef.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define ZMQCHAT_EXPORTED extern "C" __attribute__ ((used))

// One bit for each descriptor. The limit is Linux's default maximum for a process; the table does
// not contain higher descriptors. The bits are atomic, because the child cannot wait for a lock.
enum
{
    zmqchat_descriptor_limit = 1 << 20,
    zmqchat_word_bits = 64
};

inline unsigned long long *zmqchat_descriptor_table ()
{
    static unsigned long long table[zmqchat_descriptor_limit / zmqchat_word_bits];
    return table;
}

// Held for reading while a descriptor is opened and added, or removed and closed; held for writing
// during a fork. So in a child each open socket has an entry, and each entry has an open socket.
inline pthread_rwlock_t *zmqchat_fork_lock ()
{
    static pthread_rwlock_t lock = PTHREAD_RWLOCK_INITIALIZER;
    return &lock;
}

ZMQCHAT_EXPORTED inline void zmqchat_hold_forks ()
{
    pthread_rwlock_rdlock (zmqchat_fork_lock ());
}

ZMQCHAT_EXPORTED inline void zmqchat_allow_forks ()
{
    const int error = errno;
    pthread_rwlock_unlock (zmqchat_fork_lock ());
    errno = error;
}

// Call both between `zmqchat_hold_forks` and `zmqchat_allow_forks`.
ZMQCHAT_EXPORTED inline void zmqchat_add_descriptor (int descriptor_)
{
    if (descriptor_ >= 0 && descriptor_ < zmqchat_descriptor_limit)
        __atomic_fetch_or (&zmqchat_descriptor_table ()[descriptor_ / zmqchat_word_bits],
                           1ULL << (descriptor_ % zmqchat_word_bits), __ATOMIC_SEQ_CST);
}

ZMQCHAT_EXPORTED inline void zmqchat_remove_descriptor (int descriptor_)
{
    if (descriptor_ >= 0 && descriptor_ < zmqchat_descriptor_limit)
        __atomic_fetch_and (&zmqchat_descriptor_table ()[descriptor_ / zmqchat_word_bits],
                            ~(1ULL << (descriptor_ % zmqchat_word_bits)), __ATOMIC_SEQ_CST);
}

inline bool *zmqchat_holds_fork_lock ()
{
    static __thread bool holds = false;
    return &holds;
}

// Continues without the lock after a second: a fork must not wait forever for a thread of libzmq.
ZMQCHAT_EXPORTED inline void zmqchat_before_fork ()
{
    struct timespec deadline;
    clock_gettime (CLOCK_REALTIME, &deadline);
    deadline.tv_sec += 1;
    *zmqchat_holds_fork_lock () =
      pthread_rwlock_timedwrlock (zmqchat_fork_lock (), &deadline) == 0;
}

ZMQCHAT_EXPORTED inline void zmqchat_after_fork_in_parent ()
{
    if (*zmqchat_holds_fork_lock ())
        pthread_rwlock_unlock (zmqchat_fork_lock ());
    *zmqchat_holds_fork_lock () = false;
}

// Uses `close`, never `shutdown`, which would end the parent's connection. The parent's epoll still
// reports the socket, because the parent's descriptor is open.
ZMQCHAT_EXPORTED inline void zmqchat_after_fork_in_child ()
{
    const pthread_rwlock_t fresh = PTHREAD_RWLOCK_INITIALIZER;
    *zmqchat_fork_lock () = fresh;
    *zmqchat_holds_fork_lock () = false;
    const int error = errno;
    unsigned long long *table = zmqchat_descriptor_table ();
    for (int word = 0; word < zmqchat_descriptor_limit / zmqchat_word_bits; word++) {
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
    zmqchat_add_descriptor (descriptor);
    zmqchat_allow_forks ();
    return descriptor;
}

inline int zmqchat_close (int descriptor_)
{
    // Removed before it is closed: then another thread may open a file with the same number.
    zmqchat_hold_forks ();
    zmqchat_remove_descriptor (descriptor_);
    const int result = close (descriptor_);
    zmqchat_allow_forks ();
    return result;
}

inline int zmqchat_open_null ()
{
    return open ("/dev/null", O_RDONLY | O_CLOEXEC);
}

// Closes the connection and makes its descriptor the reserve, in one step: between a `close` and an
// `open`, another thread of the program may take the descriptor. Returns -1 where it must be two.
inline int zmqchat_refuse (int connection_, int null_)
{
    if (null_ != -1 && dup3 (null_, connection_, O_CLOEXEC) == connection_)
        return connection_;
    close (connection_);
    return zmqchat_open_null ();
}

// Without a lock: only libzmq's single I/O thread accepts connections.
inline int zmqchat_accept4 (int listener_, sockaddr *address_, socklen_t *size_, int flags_)
{
    static int null = -1, reserve = -1;
    if (null == -1)
        null = zmqchat_open_null ();
    if (reserve == -1)
        reserve = zmqchat_open_null ();
    if (reserve != -1) {
        zmqchat_hold_forks ();
        const int accepted = accept4 (listener_, address_, size_, flags_);
        zmqchat_add_descriptor (accepted);
        zmqchat_allow_forks ();
        if (accepted != -1 || (errno != EMFILE && errno != ENFILE))
            return accepted;
        close (reserve);
        reserve = -1;
    }
    // Without a reserve, no further connection could be refused: this one's descriptor becomes it.
    const int refused = accept4 (listener_, NULL, NULL, SOCK_CLOEXEC);
    if (refused != -1)
        reserve = zmqchat_refuse (refused, null);
    // Not EMFILE: only ENFILE is an expected error in each of libzmq's listeners.
    errno = ENFILE;
    return -1;
}

// These macros also rename libzmq's methods of the same names, consistently in all its files.
#define socket zmqchat_socket
#define close zmqchat_close
#define accept4 zmqchat_accept4

#endif
