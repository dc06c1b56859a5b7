// Included before each of libzmq's files, on Linux. Starts libzmq's threads in advance.
//
// libzmq aborts the process when it cannot start a thread. `zmqchat_reserve_threads` starts the
// threads first, and returns an error when that fails. libzmq's `pthread_create` then uses them.

#ifdef __cplusplus

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>

struct zmqchat_reserved_thread
{
    pthread_t id;
    void *(*routine) (void *);
    void *argument;
    bool released;
    zmqchat_reserved_thread *next;
};

struct zmqchat_reserve
{
    pthread_mutex_t lock;
    pthread_cond_t changed;
    zmqchat_reserved_thread *threads;
};

inline zmqchat_reserve *zmqchat_the_reserve ()
{
    static zmqchat_reserve reserve = {PTHREAD_MUTEX_INITIALIZER, PTHREAD_COND_INITIALIZER, NULL};
    return &reserve;
}

extern "C" inline void *zmqchat_run_reserved (void *self_)
{
    zmqchat_reserve *const reserve = zmqchat_the_reserve ();
    zmqchat_reserved_thread *const self = static_cast<zmqchat_reserved_thread *> (self_);
    pthread_mutex_lock (&reserve->lock);
    while (!self->released)
        pthread_cond_wait (&reserve->changed, &reserve->lock);
    pthread_mutex_unlock (&reserve->lock);
    void *(*const routine) (void *) = self->routine;
    void *const argument = self->argument;
    free (self);
    return routine ? routine (argument) : NULL;
}

// Gives a reserved thread its routine; returns false if none is reserved. Without a routine it ends.
inline bool zmqchat_release_one (pthread_t *id_, void *(*routine_) (void *), void *argument_)
{
    zmqchat_reserve *const reserve = zmqchat_the_reserve ();
    pthread_mutex_lock (&reserve->lock);
    zmqchat_reserved_thread *const taken = reserve->threads;
    if (taken) {
        reserve->threads = taken->next;
        *id_ = taken->id;
        taken->routine = routine_;
        taken->argument = argument_;
        taken->released = true;
        pthread_cond_broadcast (&reserve->changed);
    }
    pthread_mutex_unlock (&reserve->lock);
    return taken != NULL;
}

// Ends the threads that are still reserved.
extern "C" __attribute__ ((used)) inline void zmqchat_empty_reserve ()
{
    pthread_t id;
    while (zmqchat_release_one (&id, NULL, NULL))
        pthread_join (id, NULL);
}

// Starts `count_` threads, or none. Returns 0 or the error number.
extern "C" __attribute__ ((used)) inline int zmqchat_reserve_threads (int count_)
{
    zmqchat_reserve *const reserve = zmqchat_the_reserve ();
    sigset_t all, before;
    sigfillset (&all);
    // A thread inherits the mask: only the program's own threads handle signals.
    pthread_sigmask (SIG_SETMASK, &all, &before);
    int error = 0;
    for (int started = 0; started < count_ && error == 0; started++) {
        zmqchat_reserved_thread *const thread =
          static_cast<zmqchat_reserved_thread *> (calloc (1, sizeof (zmqchat_reserved_thread)));
        if (!thread) {
            error = ENOMEM;
            break;
        }
        // Under the lock, because the new thread reads these fields.
        pthread_mutex_lock (&reserve->lock);
        error = pthread_create (&thread->id, NULL, zmqchat_run_reserved, thread);
        if (error == 0) {
            thread->next = reserve->threads;
            reserve->threads = thread;
        }
        pthread_mutex_unlock (&reserve->lock);
        if (error != 0)
            free (thread);
    }
    pthread_sigmask (SIG_SETMASK, &before, NULL);
    if (error != 0)
        zmqchat_empty_reserve ();
    return error;
}

// For the child after a fork: the reserved threads exist only in the parent.
extern "C" __attribute__ ((used)) inline void zmqchat_forget_reserve ()
{
    const zmqchat_reserve fresh = {PTHREAD_MUTEX_INITIALIZER, PTHREAD_COND_INITIALIZER, NULL};
    *zmqchat_the_reserve () = fresh;
}

inline int zmqchat_pthread_create (pthread_t *id_,
                                   const pthread_attr_t *attributes_,
                                   void *(*routine_) (void *),
                                   void *argument_)
{
    if (zmqchat_release_one (id_, routine_, argument_))
        return 0;
    return pthread_create (id_, attributes_, routine_, argument_);
}

#define pthread_create zmqchat_pthread_create

#endif
