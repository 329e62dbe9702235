"""A library that goes between a process and its system calls: writes take less than asked, and are interrupted."""

from __future__ import annotations

import shutil
import struct
import subprocess
from pathlib import Path

import pytest

SOURCE = r"""
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

/* shared by all processes: calls of each kind, how many were interrupted, how many shortened */
static atomic_long *met;

__attribute__((constructor)) static void open_counts(void) {
    const char *path = getenv("SHORT_WRITES_MET");
    int file = path ? open(path, O_RDWR | O_CREAT, 0644) : -1;
    if (file < 0) return;
    if (ftruncate(file, 4096) == 0) {
        void *place = mmap(0, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
        if (place != MAP_FAILED) met = place;
    }
    close(file);
}

static int is_plain(int file) {
    struct stat about;
    return fstat(file, &about) == 0 && S_ISREG(about.st_mode);
}

/* of three calls one is interrupted before it begins, and one takes half */
ssize_t write(int file, const void *words, size_t count) {
    static ssize_t (*real)(int, const void *, size_t);
    if (!real) real = dlsym(RTLD_NEXT, "write");
    if (!met || !is_plain(file)) return real(file, words, count);
    long number = atomic_fetch_add(&met[0], 1);
    if (number % 3 == 1) {
        atomic_fetch_add(&met[2], 1);
        errno = EINTR;
        return -1;
    }
    if (number % 3 == 2 && count > 1) {
        atomic_fetch_add(&met[3], 1);
        count /= 2;
    }
    return real(file, words, count);
}

int fsync(int file) {
    static int (*real)(int);
    if (!real) real = dlsym(RTLD_NEXT, "fsync");
    if (met && atomic_fetch_add(&met[1], 1) % 3 == 1) {
        atomic_fetch_add(&met[2], 1);
        errno = EINTR;
        return -1;
    }
    return real(file);
}
"""


def build(folder: Path) -> Path:
    """Compile the library into `folder`; a machine without a compiler skips the test."""
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None:
        pytest.skip("no C compiler")
    folder.mkdir(parents=True, exist_ok=True)
    source, library = folder / "short_writes.c", folder / "short_writes.so"
    source.write_text(SOURCE)
    subprocess.run([compiler, "-shared", "-fPIC", "-O1", "-o", library, source, "-ldl"], check=True)
    return library


def met(counts: Path) -> tuple[int, int]:
    """Calls that were interrupted, and writes that were shortened, over all processes that counted in that file."""
    _, _, interrupted, shortened = struct.unpack_from("=4q", counts.read_bytes())
    return interrupted, shortened
