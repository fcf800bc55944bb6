// A wall clock of its own for one process: what is in the file that WALL_CLOCK names (seconds, a long long) is added to
// CLOCK_REALTIME. All other clocks stay the kernel's. Loaded by LD_PRELOAD.
#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

static volatile long long *ahead;

__attribute__((constructor)) static void open_clock(void) {
    const char *file = getenv("WALL_CLOCK");
    int descriptor = file ? open(file, O_RDONLY | O_CLOEXEC) : -1;
    if (descriptor < 0) abort();
    void *page = mmap(NULL, sizeof *ahead, PROT_READ, MAP_SHARED, descriptor, 0);
    if (page == MAP_FAILED) abort();
    ahead = page;
    close(descriptor);
}

int clock_gettime(clockid_t clock, struct timespec *time) {
    long result = syscall(SYS_clock_gettime, clock, time);
    if (result == 0 && clock == CLOCK_REALTIME && ahead) time->tv_sec += *ahead;
    return (int)result;
}
