/* How fast this machine reads memory: bandwidth MEGABYTES THREADS [PASSES]

   Each thread reads its share of a buffer from end to end, a vector at a time, with prefetching by
   the hardware alone and by 1, 2 and 4 KiB ahead. Prints the best of these medians over the
   passes, in bytes per second. */

#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>

#if defined(__AVX512F__)
enum { VECTOR = 64 };
#else
enum { VECTOR = 32 };
#endif
enum { MOST_THREADS = 64, LINE = 64, UNROLLED = 8 };
typedef uint64_t Vector __attribute__((vector_size(VECTOR)));
static const size_t AHEAD[] = {0, 1024, 2048, 4096};

typedef struct {
    const char *from;
    size_t bytes, ahead;
    int passes;
    pthread_barrier_t *barrier;
    double *seconds; /* of each pass; the first thread's */
    uint64_t sum;    /* so that nothing is optimised away */
} Share;

static double now(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return time.tv_sec + time.tv_nsec * 1e-9;
}

static uint64_t read_once(const char *from, size_t bytes, size_t ahead) {
    Vector sums[UNROLLED] = {0};
    for (size_t at = 0; at < bytes; at += UNROLLED * VECTOR) {
        for (int i = 0; i < UNROLLED; i++) {
            const char *now = from + at + i * VECTOR;
            if (ahead && i * VECTOR % LINE == 0) __builtin_prefetch(now + ahead);
            sums[i] += *(const Vector *)now;
        }
    }
    for (int i = 1; i < UNROLLED; i++) sums[0] += sums[i];
    uint64_t sum = 0;
    for (size_t i = 0; i < VECTOR / sizeof sum; i++) sum += sums[0][i];
    return sum;
}

static void *work(void *given) {
    Share *mine = given;
    for (int pass = 0; pass < mine->passes; pass++) {
        pthread_barrier_wait(mine->barrier);
        double start = now();
        mine->sum += read_once(mine->from, mine->bytes, mine->ahead);
        pthread_barrier_wait(mine->barrier);
        if (mine->seconds) mine->seconds[pass] = now() - start;
    }
    return NULL;
}

static int ascending(const void *a, const void *b) {
    double left = *(const double *)a, right = *(const double *)b;
    return (left > right) - (left < right);
}

static double median_seconds(const char *buffer, size_t share, int threads, int passes, size_t ahead) {
    pthread_t ids[MOST_THREADS];
    Share shares[MOST_THREADS];
    pthread_barrier_t barrier;
    double *seconds = malloc(passes * sizeof *seconds);
    pthread_barrier_init(&barrier, NULL, threads);
    for (int i = 0; i < threads; i++) {
        shares[i] = (Share){buffer + i * share, share, ahead, passes, &barrier, i ? NULL : seconds, 0};
        pthread_create(&ids[i], NULL, work, &shares[i]);
    }
    for (int i = 0; i < threads; i++) pthread_join(ids[i], NULL);
    qsort(seconds, passes, sizeof *seconds, ascending);
    double median = seconds[passes / 2];
    free(seconds);
    return median;
}

int main(int count, char **words) {
    if (count < 3) return fprintf(stderr, "bandwidth MEGABYTES THREADS [PASSES]\n"), 2;
    int threads = atoi(words[2]), passes = count > 3 ? atoi(words[3]) : 9;
    if (threads < 1 || threads > MOST_THREADS || passes < 1) return 2;
    size_t share = (size_t)atol(words[1]) * 1000000 / threads / 4096 * 4096;
    char *buffer = aligned_alloc(1 << 21, (share * threads + (1 << 21)) >> 21 << 21);
    if (!buffer) return 1;
    madvise(buffer, share * threads, MADV_HUGEPAGE);
    memset(buffer, 1, share * threads);
    double best = 0;
    for (size_t i = 0; i < sizeof AHEAD / sizeof *AHEAD; i++) {
        double rate = share * threads / median_seconds(buffer, share, threads, passes, AHEAD[i]);
        best = rate > best ? rate : best;
    }
    printf("%.0f\n", best);
    return 0;
}
