/* Preloaded into a process: its syncs and writes of the state file fail with EIO as long as the file named by FAULT_FLAG exists. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static int broken(const char *what) {
    const char *flag = getenv("FAULT_FLAG");
    char path[4096];
    if (flag == NULL || strlen(flag) > sizeof path - 16) return 0;
    strcpy(path, flag);
    strcat(path, what);
    return access(path, F_OK) == 0;
}

int fdatasync(int file) {
    static int (*real)(int);
    if (real == NULL) real = (int (*)(int))dlsym(RTLD_NEXT, "fdatasync");
    if (broken("sync")) { errno = EIO; return -1; }
    return real(file);
}

int fsync(int file) {
    static int (*real)(int);
    if (real == NULL) real = (int (*)(int))dlsym(RTLD_NEXT, "fsync");
    if (broken("sync")) { errno = EIO; return -1; }
    return real(file);
}

ssize_t pread64(int file, void *buffer, size_t size, off64_t place) {
    static ssize_t (*real)(int, void *, size_t, off64_t);
    if (real == NULL) real = (ssize_t (*)(int, void *, size_t, off64_t))dlsym(RTLD_NEXT, "pread64");
    if (broken("read")) { errno = EIO; return -1; }
    return real(file, buffer, size, place);
}

ssize_t pwrite64(int file, const void *buffer, size_t size, off64_t place) {
    static ssize_t (*real)(int, const void *, size_t, off64_t);
    if (real == NULL) real = (ssize_t (*)(int, const void *, size_t, off64_t))dlsym(RTLD_NEXT, "pwrite64");
    if (broken("write")) { errno = EIO; return -1; }
    return real(file, buffer, size, place);
}
