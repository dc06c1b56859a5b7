// Taken in before each of libzmq's files, on Linux: what becomes of who comes when the process has
// no descriptor left.
//
// libzmq leaves such a connection in the queue and is told of it again at once, for ever, which
// takes a whole CPU; over ipc:// it aborts the program. Here one descriptor is kept in reserve. It
// makes room for the connection, which is closed: who came tries again later, as after any
// other broken connection.

#ifdef __cplusplus

#include <errno.h>
#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

// Called by libzmq's one I/O thread alone, so that nobody else uses the reserve meanwhile.
inline int zmqchat_accept4 (int listener_, sockaddr *address_, socklen_t *size_, int flags_)
{
    static int reserve = -1;
    if (reserve == -1)
        reserve = open ("/dev/null", O_RDONLY | O_CLOEXEC);
    const int accepted = accept4 (listener_, address_, size_, flags_);
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

#define accept4 zmqchat_accept4

#endif
