/* Loaded into a program (LD_PRELOAD): writes down its calls that change files below the folder in FAULTS_FOLDER,
   and at one of them fails as a broken disk does, or ends the program when the call has been made.  Told what to do
   by a file that is shared (FAULTS_CONTROL); see faults.py, which has the same fields. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

struct control {
  int armed; /* calls are counted */
  int at;    /* which of them, from 1 */
  int error; /* errno of the failure; 0: the program ends */
  int count; /* calls so far */
  int fired; /* it has happened */
  int used;  /* octets of the log */
  char only[64]; /* calls that are counted: those whose line in the log begins like that */
  char log[65000];
};

static struct control *control;
static const char *folder;

__attribute__((constructor)) static void begin(void) {
  const char *path = getenv("FAULTS_CONTROL");
  folder = getenv("FAULTS_FOLDER");
  int fd = path && folder ? open(path, O_RDWR | O_CLOEXEC) : -1;
  if (fd < 0) return;
  void *shared = mmap(NULL, sizeof *control, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  close(fd);
  if (shared != MAP_FAILED) control = shared;
}

/* The name below the folder, or NULL when the call is of no interest. */
static const char *below(int fd, const char *name, char *path, size_t size) {
  char link[40];
  path[0] = 0;
  if (!control || !control->armed) return NULL;
  if (fd >= 0) {
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t length = readlink(link, path, size - 1);
    if (length < 0) return NULL;
    path[length] = 0;
  }
  if (name) {
    size_t length = name[0] == '/' ? 0 : strlen(path);
    snprintf(path + length, size - length, "%s%s", length ? "/" : "", name);
  }
  size_t length = strlen(folder);
  if (strncmp(path, folder, length) || (path[length] && path[length] != '/')) return NULL;
  return path[length] ? path + length + 1 : ".";
}

/* Count a call.  Returns 1: it is to fail; 2: the program is to end after it. */
static int turn(const char *call, int fd, const char *name) {
  char path[4096], line[4200];
  int before = errno;
  const char *found = below(fd, name, path, sizeof path);
  errno = before;
  if (!found) return 0;
  int length = snprintf(line, sizeof line, "%s %s\n", call, found);
  int place = __atomic_fetch_add(&control->used, length, __ATOMIC_SEQ_CST);
  if (place + length <= (int)sizeof control->log) memcpy(control->log + place, line, length);
  if (strncmp(line, control->only, strnlen(control->only, sizeof control->only))) return 0;
  if (__atomic_add_fetch(&control->count, 1, __ATOMIC_SEQ_CST) != control->at) return 0;
  control->fired = 1;
  errno = control->error;
  return control->error ? 1 : 2;
}

static void after(int what) {
  if (what == 2) kill(getpid(), SIGKILL), pause();
}

#define WHOLE(function, type, arguments, call, fd, name, types, ...)                  \
  type function arguments {                                                           \
    int what = turn(call, fd, name);                                                  \
    if (what == 1) return -1;                                                         \
    static type(*real) types;                                                         \
    if (!real) real = (type(*) types)dlsym(RTLD_NEXT, #function);                     \
    type done = real(__VA_ARGS__);                                                    \
    after(what);                                                                      \
    return done;                                                                      \
  }

WHOLE(write, ssize_t, (int fd, const void *data, size_t size), "write", fd, NULL, (int, const void *, size_t), fd, data,
      size)
WHOLE(pwrite, ssize_t, (int fd, const void *data, size_t size, off_t at), "write", fd, NULL,
      (int, const void *, size_t, off_t), fd, data, size, at)
WHOLE(pwrite64, ssize_t, (int fd, const void *data, size_t size, off64_t at), "write", fd, NULL,
      (int, const void *, size_t, off64_t), fd, data, size, at)
WHOLE(ftruncate, int, (int fd, off_t size), "truncate", fd, NULL, (int, off_t), fd, size)
WHOLE(ftruncate64, int, (int fd, off64_t size), "truncate", fd, NULL, (int, off64_t), fd, size)
WHOLE(fsync, int, (int fd), "sync", fd, NULL, (int), fd)
WHOLE(fdatasync, int, (int fd), "sync", fd, NULL, (int), fd)
WHOLE(link, int, (const char *from, const char *to), "link", -1, to, (const char *, const char *), from, to)
WHOLE(linkat, int, (int dir, const char *from, int fd, const char *to, int how), "link", fd, to,
      (int, const char *, int, const char *, int), dir, from, fd, to, how)
WHOLE(rename, int, (const char *from, const char *to), "rename", -1, to, (const char *, const char *), from, to)
WHOLE(renameat, int, (int dir, const char *from, int fd, const char *to), "rename", fd, to,
      (int, const char *, int, const char *), dir, from, fd, to)
WHOLE(mkdir, int, (const char *path, mode_t mode), "mkdir", -1, path, (const char *, mode_t), path, mode)
WHOLE(mkdirat, int, (int fd, const char *path, mode_t mode), "mkdir", fd, path, (int, const char *, mode_t), fd, path,
      mode)
WHOLE(unlink, int, (const char *path), "unlink", -1, path, (const char *), path)
WHOLE(unlinkat, int, (int fd, const char *path, int how), "unlink", fd, path, (int, const char *, int), fd, path, how)

/* The file is closed whether this fails or not, as close(2) says of Linux. */
int close(int fd) {
  static int (*real)(int);
  if (!real) real = (int (*)(int))dlsym(RTLD_NEXT, "close");
  int how = control && control->armed ? fcntl(fd, F_GETFL) : -1;
  int what = how >= 0 && (how & O_ACCMODE) != O_RDONLY ? turn("close", fd, NULL) : 0, error = errno;
  int done = real(fd);
  after(what);
  if (what != 1) return done;
  errno = error;
  return -1;
}

#define OPENS(function, arguments, last, fd, types, ...)                              \
  int function arguments {                                                            \
    mode_t mode = 0;                                                                  \
    if (how & O_CREAT) {                                                              \
      va_list more;                                                                   \
      va_start(more, last);                                                           \
      mode = va_arg(more, mode_t);                                                    \
      va_end(more);                                                                   \
    }                                                                                 \
    int what = how & O_EXCL ? turn("open", fd, path) : 0;                             \
    if (what == 1) return -1;                                                         \
    static int(*real) types;                                                          \
    if (!real) real = (int(*) types)dlsym(RTLD_NEXT, #function);                      \
    int done = real(__VA_ARGS__, mode);                                               \
    after(what);                                                                      \
    return done;                                                                      \
  }

OPENS(open, (const char *path, int how, ...), how, -1, (const char *, int, mode_t), path, how)
OPENS(open64, (const char *path, int how, ...), how, -1, (const char *, int, mode_t), path, how)
OPENS(openat, (int fd, const char *path, int how, ...), how, fd, (int, const char *, int, mode_t), fd, path, how)
OPENS(openat64, (int fd, const char *path, int how, ...), how, fd, (int, const char *, int, mode_t), fd, path, how)
