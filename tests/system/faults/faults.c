/* Makes one system call of one kind of process fail, or be the moment of its death.
 *
 * It is loaded with LD_PRELOAD into all processes of a service, and takes the place of functions of the C library, which
 * Python and SQLite call alike. A file that all processes map, `struct control`, says which call is meant, and counts.
 * Only calls that concern files under one directory, or that start processes and threads, are counted.
 *
 * It also gives them another boot id, from a file that `injection.py` writes, as after a reboot.
 *
 * For a simulated power cut it keeps what is on the disk for certain: a copy of each file at its last fsync, and a
 * journal of the names. `power_cut.py` reads both.
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

enum role { SERVICE, EXECUTOR, WRAPPER, ROLES, OTHER };
enum call { WRITE, SYNC, OPEN, NAME, SPAWN, THREAD, CALLS };
enum effect { NOTHING, ERROR, KILL, TEAR, CUT }; /* TEAR: die in the middle of a write */

struct control { /* `injection.py` has the same layout */
    int32_t ready;   /* the mutex is initialised */
    int32_t role;    /* whose call is meant */
    int32_t call;    /* which call is meant */
    int32_t effect;  /* what happens at it; NOTHING while calls are only counted */
    int32_t error;   /* the errno of ERROR */
    int32_t number;  /* which of these calls is meant, from 1 on */
    int32_t times;   /* how many calls fail from there on */
    int32_t counting;
    int32_t fired;   /* the effect has happened */
    int32_t off;     /* the power is cut: every process ends at its next call */
    int32_t journal; /* keep what is on the disk */
    int32_t copies;  /* number of copies made */
    int32_t counts[ROLES][CALLS];
    pthread_mutex_t mutex; /* makes a counted call and its record one */
};

static struct control *control;
static int role = OTHER;
static char root[PATH_MAX], kept[PATH_MAX];

#define REAL(name) ((__typeof__(&name))real(#name))

static void *real(const char *name) {
    void *found = dlsym(RTLD_NEXT, name);
    if (!found) abort();
    return found;
}

static int command_has(const char *part) {
    char line[4096];
    int file = REAL(open)("/proc/self/cmdline", O_RDONLY | O_CLOEXEC);
    ssize_t length = read(file, line, sizeof line);
    close(file);
    return length > 0 && memmem(line, (size_t)length, part, strlen(part)) != NULL;
}

__attribute__((constructor)) static void load(void) {
    const char *directory = getenv("FAULTS_DIRECTORY"), *state = getenv("FAULTS_ROOT");
    if (!directory || !state) return;
    if (command_has("clusterm.executor")) role = EXECUTOR;
    else if (command_has("wrapper.py")) role = WRAPPER;
    else if (command_has("serve")) role = SERVICE;
    else return;
    snprintf(root, sizeof root, "%s", state);
    snprintf(kept, sizeof kept, "%s", directory);
    char path[PATH_MAX + 16];
    snprintf(path, sizeof path, "%s/control", kept);
    int file = REAL(open)(path, O_RDWR | O_CLOEXEC);
    if (file < 0) abort();
    control = mmap(NULL, sizeof *control, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    close(file);
    if (control == MAP_FAILED) abort();
    if (!control->ready) { /* by the service, before it starts another process */
        pthread_mutexattr_t shared;
        pthread_mutexattr_init(&shared);
        pthread_mutexattr_setpshared(&shared, PTHREAD_PROCESS_SHARED);
        pthread_mutexattr_setrobust(&shared, PTHREAD_MUTEX_ROBUST);
        pthread_mutexattr_settype(&shared, PTHREAD_MUTEX_RECURSIVE);
        pthread_mutex_init(&control->mutex, &shared);
        control->ready = 1;
    }
}

static void end_here(void) {
    kill(getpid(), SIGKILL);
    for (;;) pause();
}

static void lock(void) {
    if (pthread_mutex_lock(&control->mutex) == EOWNERDEAD) pthread_mutex_consistent(&control->mutex);
    if (control->off) end_here();
}

static void unlock(void) { pthread_mutex_unlock(&control->mutex); }

/* Count a call, and return whether it must fail; errno is set then. TEAR is left to the caller, by *tear. */
static int strikes(enum call call, int *tear) {
    int number = control->counting ? ++control->counts[role][call] : 0;
    int meant = number && role == control->role && (int32_t)call == control->call && number >= control->number &&
                number < control->number + control->times;
    if (!meant || control->effect == NOTHING) return 0;
    control->fired = 1;
    switch (control->effect) {
    case ERROR:
        errno = control->error;
        return 1;
    case TEAR:
        if (tear) {
            *tear = 1;
            return 0;
        }
        end_here();
        break;
    case CUT:
        control->off = 1;
        end_here();
        break;
    default:
        end_here();
    }
    return 0;
}

static int is_inside(const char *path) {
    size_t length = strlen(root);
    return strncmp(path, root, length) == 0 && (path[length] == '/' || path[length] == 0);
}

/* Write the path of a descriptor, and return whether it is a file or directory under the root. */
static int path_of(int file, char *path) {
    char link[64];
    snprintf(link, sizeof link, "/proc/self/fd/%d", file);
    ssize_t length = readlink(link, path, PATH_MAX - 1);
    if (length <= 0) return 0;
    path[length] = 0;
    return is_inside(path);
}

static int resolve(int directory, const char *given, char *path) {
    if (!given) return 0;
    if (given[0] == '/') {
        snprintf(path, PATH_MAX, "%s", given);
    } else {
        char folder[PATH_MAX];
        if (directory == AT_FDCWD) {
            if (!getcwd(folder, sizeof folder)) return 0;
        } else if (!path_of(directory, folder)) {
            return 0;
        }
        if (snprintf(path, PATH_MAX, "%s/%s", folder, given) >= PATH_MAX) return 0;
    }
    return is_inside(path);
}

/* The journal. One line per event; inodes tell objects apart:
 *   N inode                          a new object, whose inode may have been that of another one
 *   F copy inode... path             a file was written to the disk, and so were its name and those of its directories
 *   D inode... path                  a directory was written to the disk; then a line for each of its entries,
 *   E type inode name                and a line
 *   .                                */

static FILE *journal(void) {
    char path[PATH_MAX + 16];
    snprintf(path, sizeof path, "%s/journal", kept);
    int file = REAL(open)(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600);
    FILE *stream = file < 0 ? NULL : fdopen(file, "a");
    if (!stream) abort();
    return stream;
}

static void note_new(const char *path) {
    struct stat found;
    if (!control->journal || lstat(path, &found) != 0) return;
    FILE *stream = journal();
    fprintf(stream, "N %lu\n", (unsigned long)found.st_ino);
    fclose(stream);
}

static void print_chain(FILE *stream, const char *path) {
    char part[PATH_MAX];
    struct stat found;
    snprintf(part, sizeof part, "%s", path);
    for (size_t at = strlen(root); at <= strlen(path); at++) {
        if (path[at] != '/' && path[at] != 0) continue;
        part[at] = 0;
        if (at > strlen(root) && lstat(part, &found) == 0) fprintf(stream, " %lu", (unsigned long)found.st_ino);
        part[at] = path[at];
    }
    fprintf(stream, " %s\n", path);
}

static void keep_copy(int file, int number) {
    char path[PATH_MAX + 32], buffer[1 << 16];
    snprintf(path, sizeof path, "%s/copies/%d", kept, number);
    int copy = REAL(open)(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    char again[64]; /* the descriptor may be write-only */
    snprintf(again, sizeof again, "/proc/self/fd/%d", file);
    int source = REAL(open)(again, O_RDONLY | O_CLOEXEC);
    if (copy < 0 || source < 0) abort();
    ssize_t length;
    while ((length = read(source, buffer, sizeof buffer)) > 0)
        if (REAL(write)(copy, buffer, (size_t)length) != length) abort();
    close(source);
    close(copy);
}

static void note_sync(int file) {
    char path[PATH_MAX];
    struct stat found;
    if (!control->journal || !path_of(file, path) || fstat(file, &found) != 0 || found.st_nlink == 0) return;
    FILE *stream;
    if (S_ISDIR(found.st_mode)) {
        stream = journal();
        fprintf(stream, "D");
        print_chain(stream, path);
        DIR *entries = opendir(path);
        struct dirent *entry;
        while (entries && (entry = readdir(entries)))
            if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
                fprintf(stream, "E %c %lu %s\n", entry->d_type == DT_DIR ? 'd' : entry->d_type == DT_REG ? 'f' : 'o',
                        (unsigned long)entry->d_ino, entry->d_name);
        if (entries) closedir(entries);
        fprintf(stream, ".\n");
    } else {
        int number = ++control->copies;
        keep_copy(file, number);
        stream = journal();
        fprintf(stream, "F %d", number);
        print_chain(stream, path);
    }
    fclose(stream);
}

/* Writing */

static int counted(int file) {
    char path[PATH_MAX];
    return control && path_of(file, path);
}

#define WRITING(type, name, parameters, arguments, torn)                                                                \
    type name parameters {                                                                                              \
        if (!counted(file)) return REAL(name) arguments;                                                                \
        lock();                                                                                                         \
        int tear = 0;                                                                                                   \
        type result = -1;                                                                                               \
        if (!strikes(WRITE, &tear)) {                                                                                   \
            if (tear) {                                                                                                 \
                torn;                                                                                                   \
                end_here();                                                                                             \
            }                                                                                                           \
            result = REAL(name) arguments;                                                                              \
        }                                                                                                               \
        unlock();                                                                                                       \
        return result;                                                                                                  \
    }

WRITING(ssize_t, write, (int file, const void *data, size_t size), (file, data, size),
        (void)!REAL(write)(file, data, size / 2))
WRITING(ssize_t, pwrite, (int file, const void *data, size_t size, off_t at), (file, data, size, at),
        (void)!REAL(pwrite)(file, data, size / 2, at))
WRITING(ssize_t, pwrite64, (int file, const void *data, size_t size, off64_t at), (file, data, size, at),
        (void)!REAL(pwrite64)(file, data, size / 2, at))
WRITING(ssize_t, writev, (int file, const struct iovec *data, int size), (file, data, size), (void)0)
WRITING(int, ftruncate, (int file, off_t size), (file, size), (void)0)
WRITING(int, ftruncate64, (int file, off64_t size), (file, size), (void)0)
WRITING(int, fallocate, (int file, int mode, off_t at, off_t size), (file, mode, at, size), (void)0)
WRITING(int, fallocate64, (int file, int mode, off64_t at, off64_t size), (file, mode, at, size), (void)0)

WRITING(ssize_t, splice, (int from, off64_t *at, int file, off64_t *to, size_t size, unsigned flags),
        (from, at, file, to, size, flags), (void)!REAL(splice)(from, at, file, to, 100, flags))

/* Writing to the disk. Nothing here needs a real fsync: the copy is what a power cut leaves. */

static int synced(int file) {
    lock();
    int result = strikes(SYNC, NULL) ? -1 : 0;
    if (result == 0) note_sync(file);
    unlock();
    return result;
}

int fsync(int file) { return counted(file) ? synced(file) : REAL(fsync)(file); }
int fdatasync(int file) { return counted(file) ? synced(file) : REAL(fdatasync)(file); }

/* Opening and creating */

static int opened(int directory, const char *given, int flags, mode_t mode) {
    char path[PATH_MAX];
    struct stat found;
    if (control && strcmp(given, "/proc/sys/kernel/random/boot_id") == 0) {
        snprintf(path, sizeof path, "%.4000s/boot_id", kept);
        return REAL(openat)(directory, path, flags, mode);
    }
    if (!control || !resolve(directory, given, path)) return REAL(openat)(directory, given, flags, mode);
    lock();
    int result = -1;
    if (!strikes(OPEN, NULL)) {
        int creates = (flags & O_CREAT) && lstat(path, &found) != 0;
        result = REAL(openat)(directory, given, flags | O_NONBLOCK, mode); /* a FIFO must not wait with the lock held */
        if (result >= 0 && creates) note_new(path);
        if (result >= 0 && !(flags & O_NONBLOCK)) fcntl(result, F_SETFL, fcntl(result, F_GETFL) & ~O_NONBLOCK);
    }
    unlock();
    return result;
}

static mode_t mode_of(int flags, va_list rest) { return flags & (O_CREAT | __O_TMPFILE) ? va_arg(rest, mode_t) : 0; }

#define OPENING(name, parameters, directory)                                                                            \
    int name parameters {                                                                                               \
        va_list rest;                                                                                                   \
        va_start(rest, flags);                                                                                          \
        mode_t mode = mode_of(flags, rest);                                                                             \
        va_end(rest);                                                                                                   \
        return opened(directory, path, flags, mode);                                                                    \
    }

OPENING(open, (const char *path, int flags, ...), AT_FDCWD)
OPENING(open64, (const char *path, int flags, ...), AT_FDCWD)
OPENING(openat, (int directory, const char *path, int flags, ...), directory)
OPENING(openat64, (int directory, const char *path, int flags, ...), directory)
int __open_2(const char *path, int flags) { return opened(AT_FDCWD, path, flags, 0); }
int __open64_2(const char *path, int flags) { return opened(AT_FDCWD, path, flags, 0); }

/* Making, changing and removing names */

#define NAMING(name, call, parameters, arguments, directory)                                                            \
    int name parameters {                                                                                               \
        char whole[PATH_MAX];                                                                                           \
        if (!control || !resolve(directory, path, whole)) return REAL(name) arguments;                                  \
        lock();                                                                                                         \
        int result = strikes(call, NULL) ? -1 : REAL(name) arguments;                                                   \
        if (call == OPEN && result == 0) note_new(whole);                                                               \
        unlock();                                                                                                       \
        return result;                                                                                                  \
    }

NAMING(mkdir, OPEN, (const char *path, mode_t mode), (path, mode), AT_FDCWD)
NAMING(mkdirat, OPEN, (int directory, const char *path, mode_t mode), (directory, path, mode), directory)
NAMING(mkfifo, OPEN, (const char *path, mode_t mode), (path, mode), AT_FDCWD)
NAMING(rename, NAME, (const char *path, const char *target), (path, target), AT_FDCWD)
NAMING(renameat, NAME, (int from, const char *path, int to, const char *target), (from, path, to, target), from)
NAMING(unlink, NAME, (const char *path), (path), AT_FDCWD)
NAMING(unlinkat, NAME, (int directory, const char *path, int flags), (directory, path, flags), directory)
NAMING(rmdir, NAME, (const char *path), (path), AT_FDCWD)

/* Processes and threads */

pid_t fork(void) {
    if (!control) return REAL(fork)();
    lock();
    int fails = strikes(SPAWN, NULL);
    unlock();
    return fails ? -1 : REAL(fork)();
}

/* A child of vfork may not return from the function that called it, so it becomes a child of fork. */
pid_t vfork(void) { return fork(); }

int pthread_create(pthread_t *thread, const pthread_attr_t *attributes, void *(*start)(void *), void *argument) {
    if (control) {
        lock();
        int fails = strikes(THREAD, NULL);
        unlock();
        if (fails) return errno;
    }
    return REAL(pthread_create)(thread, attributes, start, argument);
}
