// Stands in for the libraries that Debian's libtorch asks for and that no function that infers uses: see leave_out.py.

#include <errno.h>
#include <exception>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

[[noreturn]] static void absent(const char *name)
{
    fprintf(stderr, "torch: %s is of a library that this layer left out (OpenCV, FFmpeg, OpenCL, a database or a network card's)\n", name);
    abort();
}

#define ABSENT(function, name) \
    extern "C" __attribute__((visibility("default"))) void function() __asm__(name); \
    extern "C" void function() { absent(name); }

#include "symbols.inc"

// Caffe2 catches it, and whoever looks for a handler compares its type: the only one of their symbols that is data.
namespace cv {
class __attribute__((visibility("default"))) Exception : public std::exception {
public:
    ~Exception() override;
};
Exception::~Exception() {}
}

// glibc 2.28's name of fcntl for large files, which on this processor is fcntl itself. Every command takes at most one word.
extern "C" __attribute__((visibility("default"))) int fcntl26(int descriptor, int command, long argument)
{
    return fcntl(descriptor, command, argument);
}

// glibc 2.30's wait with a clock of the caller's choice. As libstdc++ did before there was one, the time that is left is carried
// over to the clock that every condition variable has; whoever waits asks the first clock again.
extern "C" __attribute__((visibility("default"))) int pthread_cond_clockwt26(
    pthread_cond_t *condition, pthread_mutex_t *mutex, clockid_t clock, const struct timespec *until)
{
    if (clock == CLOCK_REALTIME)
        return pthread_cond_timedwait(condition, mutex, until);
    struct timespec there, here;
    if (clock_gettime(clock, &there) || clock_gettime(CLOCK_REALTIME, &here))
        return EINVAL;
    here.tv_sec += until->tv_sec - there.tv_sec;
    here.tv_nsec += until->tv_nsec - there.tv_nsec;
    if (here.tv_nsec < 0) {
        here.tv_nsec += 1000000000;
        here.tv_sec -= 1;
    } else if (here.tv_nsec >= 1000000000) {
        here.tv_nsec -= 1000000000;
        here.tv_sec += 1;
    }
    return pthread_cond_timedwait(condition, mutex, &here);
}
