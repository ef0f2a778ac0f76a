/* Another clock, order of directories and processor, for every dynamic program that this is preloaded into.
 *
 * `layerlock check` compiles it in the environment that a build runs in, and switches it on by
 * /etc/ld.so.preload, so that neither a variable nor a process more is seen. No build outside of a check has it.
 *
 * -DVARY_OFFSET=SECONDS  The wall clock is that much ahead. Times of files from VARY_START (seconds since 1970) on
 *                        are moved with it, and moved back where a program sets them; older ones, such as the fixed
 *                        times of sources, stay. libfaketime was not taken: it leaves a variable and shared memory,
 *                        which builds see, and moves the fixed times too.
 * -DVARY_ORDER           readdir gives the entries of a directory in the reverse of the order that they have.
 *
 * -DVARY_CPU=TEXT        Every program runs under the emulator VARY_EMULATOR, as the processor TEXT, whose name begins
 *                        with VARY_MODEL. With -DVARY_ASK it becomes a program instead, which succeeds there alone.
 *
 * Where it errs: a time between now and the moved now that a program sets on a file by itself is moved when it is read.
 * Out of reach: static programs, system calls made without the C library, and glob, ftw and fts of the C library
 * itself for the order. A dynamic program that a static one starts is in reach again.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#define REAL(name) __typeof__(name) *real = (__typeof__(name) *)dlsym(RTLD_NEXT, #name)

#ifdef VARY_OFFSET
#include <linux/stat.h>
#include <pthread.h>
#include <semaphore.h>
#include <utime.h>

/* Not <sys/stat.h>: it declares what is defined below in ways that differ between versions of the C library.
 * <fcntl.h> has its `struct stat`, which on 64-bit systems is the kernel's. */

static void ahead(time_t *seconds) {
    if (*seconds >= VARY_START) *seconds += VARY_OFFSET;
}

static struct timespec back(const struct timespec *when) {
    struct timespec real = *when;
    if (real.tv_nsec >= 0 && real.tv_nsec < 1000000000 && real.tv_sec >= (time_t)VARY_START + VARY_OFFSET)
        real.tv_sec -= VARY_OFFSET;
    return real;
}

static int now(clockid_t clock, struct timespec *when) {
    int failed = syscall(SYS_clock_gettime, clock, when);
    if (!failed && (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE || clock == CLOCK_TAI))
        when->tv_sec += VARY_OFFSET;
    return failed;
}

int clock_gettime(clockid_t clock, struct timespec *when) { return now(clock, when); }

time_t time(time_t *into) {
    struct timespec when;
    now(CLOCK_REALTIME_COARSE, &when);
    if (into) *into = when.tv_sec;
    return when.tv_sec;
}

int gettimeofday(struct timeval *restrict into, void *restrict zone) {
    struct timespec when;
    if (zone) memset(zone, 0, 2 * sizeof(int));
    int failed = now(CLOCK_REALTIME, &when);
    into->tv_sec = when.tv_sec;
    into->tv_usec = when.tv_nsec / 1000;
    return failed;
}

int timespec_get(struct timespec *into, int base) {
    return base == 1 && !now(CLOCK_REALTIME, into) ? base : 0;
}

/* Waiting until a moment of the moved clock. Moments of the monotonic clock are far below. */

int clock_nanosleep(clockid_t clock, int flags, const struct timespec *until, struct timespec *rest) {
    struct timespec moment = flags & TIMER_ABSTIME ? back(until) : *until;
    return syscall(SYS_clock_nanosleep, clock, flags, &moment, rest) ? errno : 0;
}

int sem_timedwait(sem_t *restrict semaphore, const struct timespec *restrict until) {
    REAL(sem_timedwait);
    struct timespec moment = back(until);
    return real(semaphore, &moment);
}

int pthread_mutex_timedlock(pthread_mutex_t *restrict mutex, const struct timespec *restrict until) {
    REAL(pthread_mutex_timedlock);
    struct timespec moment = back(until);
    return real(mutex, &moment);
}

int pthread_cond_timedwait(pthread_cond_t *restrict condition, pthread_mutex_t *restrict mutex,
                           const struct timespec *restrict until) {
    REAL(pthread_cond_timedwait);
    struct timespec moment = back(until);
    return real(condition, mutex, &moment);
}

/* Times of files. */

static int files(int folder, const char *path, void *into, int flags) {
    struct stat *told = into;
#ifdef SYS_newfstatat
    int failed = syscall(SYS_newfstatat, folder, path, told, flags);
#else
    int failed = syscall(SYS_fstatat, folder, path, told, flags);
#endif
    if (!failed) {
        time_t *times[] = {(time_t *)&told->st_atime, (time_t *)&told->st_mtime, (time_t *)&told->st_ctime};
        for (int i = 0; i < 3; i++) ahead(times[i]);
    }
    return failed;
}

#define STAT(suffix)                                                                                              \
    int stat##suffix(const char *path, void *into) { return files(AT_FDCWD, path, into, 0); }                     \
    int lstat##suffix(const char *path, void *into) { return files(AT_FDCWD, path, into, AT_SYMLINK_NOFOLLOW); } \
    int fstat##suffix(int file, void *into) { return files(file, "", into, AT_EMPTY_PATH); }                      \
    int fstatat##suffix(int folder, const char *path, void *into, int flags) {                                   \
        return files(folder, path, into, flags);                                                                  \
    }                                                                                                             \
    int __xstat##suffix(int version, const char *path, void *into) { return files(AT_FDCWD, path, into, 0); }     \
    int __lxstat##suffix(int version, const char *path, void *into) {                                             \
        return files(AT_FDCWD, path, into, AT_SYMLINK_NOFOLLOW);                                                  \
    }                                                                                                             \
    int __fxstat##suffix(int version, int file, void *into) { return files(file, "", into, AT_EMPTY_PATH); }      \
    int __fxstatat##suffix(int version, int folder, const char *path, void *into, int flags) {                    \
        return files(folder, path, into, flags);                                                                  \
    }
STAT()
STAT(64)

int statx(int folder, const char *restrict path, int flags, unsigned mask, struct statx *restrict told) {
    int failed = syscall(SYS_statx, folder, path, flags, mask, told);
    if (!failed) {
        struct statx_timestamp *times[] = {&told->stx_atime, &told->stx_btime, &told->stx_ctime, &told->stx_mtime};
        for (int i = 0; i < 4; i++)
            if (times[i]->tv_sec >= VARY_START) times[i]->tv_sec += VARY_OFFSET;
    }
    return failed;
}

static int set(int folder, const char *path, const struct timespec *times, int flags) {
    if (!times) return syscall(SYS_utimensat, folder, path, NULL, flags);
    struct timespec real[2] = {back(&times[0]), back(&times[1])};
    return syscall(SYS_utimensat, folder, path, real, flags);
}

static int set_microseconds(int folder, const char *path, const struct timeval *times, int flags) {
    if (!times) return set(folder, path, NULL, flags);
    struct timespec precise[2] = {{times[0].tv_sec, times[0].tv_usec * 1000}, {times[1].tv_sec, times[1].tv_usec * 1000}};
    return set(folder, path, precise, flags);
}

int utimensat(int folder, const char *path, const struct timespec times[2], int flags) {
    return set(folder, path, times, flags);
}
int futimens(int file, const struct timespec times[2]) { return set(file, NULL, times, 0); }
int utimes(const char *path, const struct timeval times[2]) { return set_microseconds(AT_FDCWD, path, times, 0); }
int lutimes(const char *path, const struct timeval times[2]) {
    return set_microseconds(AT_FDCWD, path, times, AT_SYMLINK_NOFOLLOW);
}
int futimes(int file, const struct timeval times[2]) { return set_microseconds(file, NULL, times, 0); }
int futimesat(int folder, const char *path, const struct timeval times[2]) {
    return set_microseconds(folder, path, times, 0);
}
int utime(const char *path, const struct utimbuf *times) {
    if (!times) return set(AT_FDCWD, path, NULL, 0);
    struct timespec precise[2] = {{times->actime, 0}, {times->modtime, 0}};
    return set(AT_FDCWD, path, precise, 0);
}
#endif

#ifdef VARY_ORDER
#include <dirent.h>

struct listing {
    struct listing *next;
    DIR *folder;
    struct dirent **entries;
    long count, at;
};

static struct listing *listings;
static char taken;

static void take(void) {
    while (__atomic_test_and_set(&taken, __ATOMIC_ACQUIRE)) {
    }
}

static void let_go(void) { __atomic_clear(&taken, __ATOMIC_RELEASE); }

static struct listing *find(DIR *folder) {
    take();
    struct listing *found = listings;
    while (found && found->folder != folder) found = found->next;
    let_go();
    return found;
}

static void forget(DIR *folder) {
    take();
    for (struct listing **place = &listings; *place; place = &(*place)->next)
        if ((*place)->folder == folder) {
            struct listing *found = *place;
            *place = found->next;
            let_go();
            for (long i = 0; i < found->count; i++) free(found->entries[i]);
            free(found->entries);
            free(found);
            return;
        }
    let_go();
}

static struct listing *read_all(DIR *folder) {
    REAL(readdir);
    struct listing *made = calloc(1, sizeof *made);
    struct dirent *entry;
    long room = 0;
    if (!made) return NULL;
    int before = errno;
    errno = 0;
    while ((entry = real(folder))) {
        if (made->count == room) {
            room = room ? 2 * room : 64;
            struct dirent **larger = realloc(made->entries, room * sizeof *larger);
            if (!larger) abort();
            made->entries = larger;
        }
        struct dirent *copy = malloc(sizeof *copy);
        if (!copy) abort();
        memcpy(copy, entry, entry->d_reclen < sizeof *copy ? entry->d_reclen : sizeof *copy);
        made->entries[made->count++] = copy;
    }
    if (errno && !made->count) {
        free(made);
        return NULL;
    }
    errno = before;
    made->folder = folder;
    take();
    made->next = listings;
    listings = made;
    let_go();
    return made;
}

struct dirent *readdir(DIR *folder) {
    struct listing *found = find(folder);
    if (!found) found = read_all(folder);
    return found && found->at < found->count ? found->entries[found->count - 1 - found->at++] : NULL;
}

struct dirent64 *readdir64(DIR *folder) {
    _Static_assert(sizeof(struct dirent) == sizeof(struct dirent64), "a 64-bit system");
    return (struct dirent64 *)readdir(folder);
}

long telldir(DIR *folder) {
    struct listing *found = find(folder);
    return found ? found->at : 0;
}

void seekdir(DIR *folder, long at) {
    struct listing *found = find(folder);
    if (!found) found = read_all(folder);
    if (found) found->at = at;
}

void rewinddir(DIR *folder) {
    REAL(rewinddir);
    forget(folder);
    real(folder);
}

int closedir(DIR *folder) {
    REAL(closedir);
    forget(folder);
    return real(folder);
}
#endif

#ifdef VARY_CPU
#include <cpuid.h>
#include <spawn.h>
#include <stdio.h>

static int varied(void) {
    unsigned name[13] = {0}, rest[4];
    if (!__get_cpuid(0x80000004, rest, rest + 1, rest + 2, rest + 3)) return 0;
    for (int i = 0; i < 3; i++)
        __cpuid(0x80000002 + i, name[4 * i], name[4 * i + 1], name[4 * i + 2], name[4 * i + 3]);
    return !strncmp((char *)name, VARY_MODEL, strlen(VARY_MODEL));
}

#ifdef VARY_ASK
int main(void) { return !varied(); }
#else

/* A program begins on the real processor, and starts itself again under the emulator before its own first line. The
 * other way would be to put the emulator in front wherever a program is started, in all the functions that do so, in
 * system and popen, and for the lines after #!; here the kernel has done all that, and errors are its own. */

static void give_up(const char *why) {
    dprintf(2, "layerlock: this program cannot be run under the emulator: %s\n", why);
    _exit(127);
}

/* The arguments as the kernel had them: those of a loader that was given a program lack the loader's own. */
static char *own_arguments(size_t *length) {
    size_t room = 4096;
    ssize_t part;
    char *text = malloc(room);
    int file = open("/proc/self/cmdline", O_RDONLY | O_CLOEXEC);
    *length = 0;
    while (text && file >= 0 && (part = read(file, text + *length, room - *length)) > 0)
        if ((*length += part) == room) text = realloc(text, room *= 2);
    if (!text || file < 0) give_up("it cannot read its arguments");
    close(file);
    return text;
}

__attribute__((constructor)) static void emulate(int count, char **arguments, char **variables) {
    (void)count, (void)arguments;
    char program[4096];
    size_t length, at = 0;
    /* It is in every sandbox that this is preloaded in, but not where the driver runs. */
    if (varied() || access(VARY_EMULATOR, X_OK)) return;
    ssize_t end = readlink("/proc/self/exe", program, sizeof program - 1);
    if (end < 0) give_up("it does not find itself");
    program[end] = 0;
    char *text = own_arguments(&length);
    char **command = calloc(length + 7, sizeof *command), **next = command;
    if (!command) give_up("there is no memory");
    *next++ = VARY_EMULATOR;
    *next++ = "-cpu";
    *next++ = VARY_CPU;
    *next++ = "-0";
    *next++ = length ? text : "";
    *next++ = program;
    while ((at += strlen(text + at) + 1) < length) *next++ = text + at;
    execve(VARY_EMULATOR, command, variables);
    give_up(strerror(errno));
}

/* The emulator makes a process of its own of what shares memory with its parent until it becomes a program, and
 * posix_spawn finds by that memory that it did not. So it is looked at before; make goes by it. What a chdir among the
 * actions would change is not considered. */

static int unfit(const char *path) {
    char head[4] = "";
    if (access(path, X_OK)) return errno;
    int file = open(path, O_RDONLY | O_CLOEXEC);
    if (file < 0) return 0;
    ssize_t count = read(file, head, sizeof head);
    int failed = count < 0 ? EACCES : 0;
    close(file);
    if (failed) return failed;
    return !memcmp(head, "#!", 2) || !memcmp(head, "\177ELF", 4) ? 0 : ENOEXEC;
}

static int unfit_in_path(const char *name) {
    const char *places = getenv("PATH");
    int failed = ENOENT;
    if (!*name || strchr(name, '/')) return unfit(name);
    for (const char *place = places ? places : "/bin:/usr/bin"; place; place = *place ? place + 1 : NULL) {
        char path[4096];
        size_t length = strcspn(place, ":");
        if (snprintf(path, sizeof path, "%.*s%s%s", (int)length, place, length ? "/" : "", name) < (int)sizeof path) {
            int now = unfit(path);
            if (!now || now == ENOEXEC) return now;
            if (now == EACCES) failed = now;
        }
        place += length;
    }
    return failed;
}

int posix_spawn(pid_t *restrict child, const char *restrict path, const posix_spawn_file_actions_t *restrict actions,
                const posix_spawnattr_t *restrict attributes, char *const arguments[restrict],
                char *const variables[restrict]) {
    REAL(posix_spawn);
    int saved = errno, failed = unfit(path);
    errno = saved;
    return failed ? failed : real(child, path, actions, attributes, arguments, variables);
}

int posix_spawnp(pid_t *restrict child, const char *restrict name, const posix_spawn_file_actions_t *restrict actions,
                 const posix_spawnattr_t *restrict attributes, char *const arguments[restrict],
                 char *const variables[restrict]) {
    REAL(posix_spawnp);
    int saved = errno, failed = unfit_in_path(name);
    errno = saved;
    return failed ? failed : real(child, name, actions, attributes, arguments, variables);
}
#endif
#endif
