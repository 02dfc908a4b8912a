/* Runs launches one after another, the parts of a launch side by side on a small thread pool.
 *
 * Parts are cut when code is generated, never by the number of threads: so 1 thread and 8 threads
 * compute the same bytes. Waiting threads spin for a moment, then sleep. */
#define _GNU_SOURCE
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <time.h>

typedef void (*GwKernel)(char* const* p, int64_t part);

/* One body of a launch. `first`: how many parts of its wave come before its own. */
typedef struct {
  GwKernel kernel;
  char* const* pointers;
  int64_t parts;
  int64_t first;
} GwLaunch;

/* Launches that do not depend on each other: all their parts may run side by side.
 * alone: there is too little work to wake anybody for. order: the parts as they are dealt, in so
 * many stretches, which end at `stops`. */
typedef struct {
  const GwLaunch* launches;
  int64_t count;
  int64_t parts;
  int64_t alone;
  const int64_t* order;
  const int64_t* stops;
  int64_t stretches;
} GwWave;

enum { MOST_THREADS = 64, SPINS = 4000 };

/* A thread begins with a stretch of its own, then helps with the others': so memory that every run
 * works on in the same parts stays near the same thread. A ticket says where a stretch is: the last
 * bits of the generation, the next part and the end. It is written as one, so nobody takes a part of
 * a wave that is over. */
typedef struct {
  _Atomic uint64_t ticket;
} __attribute__((aligned(64))) Stretch;

enum { PART_BITS = 20, GENERATION_BITS = 64 - 2 * PART_BITS };
static const uint64_t MOST_PARTS = (1u << PART_BITS) - 1;

static uint64_t ticket_of(uint32_t g, int64_t part, int64_t stop) {
  return (uint64_t)g << (2 * PART_BITS) | (uint64_t)part << PART_BITS | (uint64_t)stop;
}

/* What helpers look at lies in one line; who writes `left` does not take it from them. */
typedef struct {
  _Atomic uint32_t generation __attribute__((aligned(64)));
  _Atomic int64_t stretches;
  _Atomic(const GwWave*) wave;
  _Atomic int64_t left __attribute__((aligned(64))); /* parts not finished */
  Stretch stretch[MOST_THREADS];
} Work;

static Work work;
static _Atomic int sleepers;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t bell = PTHREAD_COND_INITIALIZER;
static pthread_mutex_t owner = PTHREAD_MUTEX_INITIALIZER;
static int started; /* helpers that exist; guarded by owner */
static int wanted = 1;
static int refused; /* set by kernels through the pointer that `gw_refusals` gives */

static void pause_briefly(void) {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#endif
}

static void run_part(const GwWave* wave, int64_t part) {
  const GwLaunch* launch = wave->launches;
  while (part >= launch->first + launch->parts) launch++;
  launch->kernel(launch->pointers, part - launch->first);
}

/* Take parts of a stretch of generation `g` until none is left; 0 if it is over. */
static int take_stretch(Stretch* stretch, uint32_t g) {
  const uint32_t mine = g & ((1u << GENERATION_BITS) - 1);
  int64_t done = 0;
  uint64_t ticket = atomic_load_explicit(&stretch->ticket, memory_order_acquire);
  int same;
  for (;;) {
    same = (uint32_t)(ticket >> (2 * PART_BITS)) == mine;
    const int64_t part = (int64_t)(ticket >> PART_BITS & MOST_PARTS);
    if (!same || part >= (int64_t)(ticket & MOST_PARTS)) break;
    const GwWave* wave = atomic_load_explicit(&work.wave, memory_order_relaxed);
    if (!atomic_compare_exchange_weak(&stretch->ticket, &ticket, ticket + (1u << PART_BITS)))
      continue;
    run_part(wave, wave->order[part]);
    done++;
    ticket = atomic_load_explicit(&stretch->ticket, memory_order_acquire);
  }
  if (done) atomic_fetch_sub_explicit(&work.left, done, memory_order_release);
  return same;
}

/* Take parts as the thread of that number: its own first. */
static void take_parts(uint32_t g, int64_t number) {
  int64_t count = atomic_load_explicit(&work.stretches, memory_order_relaxed);
  for (int64_t i = 0; i < count; i++)
    if (!take_stretch(&work.stretch[(number + i) % count], g)) return;
}

static void* help(void* number) {
  uint32_t seen = atomic_load(&work.generation);
  for (;;) {
    uint32_t now = atomic_load_explicit(&work.generation, memory_order_acquire);
    for (int i = 0; now == seen && i < SPINS; i++) {
      pause_briefly();
      now = atomic_load_explicit(&work.generation, memory_order_acquire);
    }
    if (now == seen) {
      pthread_mutex_lock(&lock);
      atomic_fetch_add(&sleepers, 1);
      while ((now = atomic_load(&work.generation)) == seen) pthread_cond_wait(&bell, &lock);
      atomic_fetch_sub(&sleepers, 1);
      pthread_mutex_unlock(&lock);
    }
    seen = now;
    take_parts(seen, (int64_t)(intptr_t)number);
  }
  return 0;
}

static void start_helpers(void) {
  while (started < wanted - 1) {
    pthread_t thread;
    if (pthread_create(&thread, 0, help, (void*)(intptr_t)(started + 1)) != 0) {
      wanted = started + 1;
      return;
    }
    pthread_detach(thread);
    started++;
  }
}

static void run_together(const GwWave* wave) {
  atomic_store_explicit(&work.wave, wave, memory_order_relaxed);
  atomic_store_explicit(&work.left, wave->parts, memory_order_relaxed);
  uint32_t g = atomic_load(&work.generation) + 1;
  atomic_store_explicit(&work.stretches, wave->stretches, memory_order_relaxed);
  for (int64_t i = 0; i < wave->stretches; i++)
    atomic_store_explicit(&work.stretch[i].ticket,
                          ticket_of(g, i ? wave->stops[i - 1] : 0, wave->stops[i]),
                          memory_order_release);
  atomic_store_explicit(&work.generation, g, memory_order_seq_cst);
  if (atomic_load(&sleepers) > 0) {
    pthread_mutex_lock(&lock);
    pthread_cond_broadcast(&bell);
    pthread_mutex_unlock(&lock);
  }
  take_parts(g, 0);
  for (int i = 0; atomic_load_explicit(&work.left, memory_order_acquire) > 0; i++) {
    if (i < SPINS) pause_briefly();
    else sched_yield();
  }
}

static void run_wave(const GwWave* wave) {
  if (wave->alone || wanted == 1 || wave->parts > (int64_t)MOST_PARTS) {
    for (int64_t i = 0; i < wave->count; i++) {
      const GwLaunch* launch = &wave->launches[i];
      for (int64_t part = 0; part < launch->parts; part++) launch->kernel(launch->pointers, part);
    }
  } else {
    run_together(wave);
  }
}

static int (*blas_threads)(void);
static void (*blas_set_threads)(int);

/* How to ask and tell the BLAS about its own threads. */
void gw_bind_blas(void* threads, void* set_threads) {
  blas_threads = (int (*)(void))threads;
  blas_set_threads = (void (*)(int))set_threads;
}

/* Kernels call the BLAS in parts of their own, so each call must stay in its thread. */
static int hold_blas(void) {
  int before = blas_threads ? blas_threads() : 1;
  if (before != 1) blas_set_threads(1);
  return before;
}

int* gw_refusals(void) { return &refused; }

static double seconds(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* Run waves in order on so many threads, the caller among them; `spent`, if given, collects the seconds of each. Returns `count`, or the
 * index of a wave in which a kernel refused: nothing after it has run. */
int64_t gw_execute(const GwWave* waves, int64_t count, int threads, double* spent) {
  int64_t done = 0;
  pthread_mutex_lock(&owner);
  wanted = threads < 1 ? 1 : threads > MOST_THREADS ? MOST_THREADS : threads;
  start_helpers();
  int before = hold_blas();
  refused = 0;
  for (; done < count; done++) {
    double start = spent ? seconds() : 0;
    run_wave(&waves[done]);
    if (spent) spent[done] += seconds() - start;
    if (__atomic_load_n(&refused, __ATOMIC_RELAXED)) break;
  }
  if (before != 1) blas_set_threads(before);
  pthread_mutex_unlock(&owner);
  return done;
}

/* After fork only the caller is there: the child starts helpers of its own. */
static void forget_helpers(void) {
  started = 0;
  atomic_store(&sleepers, 0);
  pthread_mutex_init(&owner, 0);
  pthread_mutex_init(&lock, 0);
  pthread_cond_init(&bell, 0);
}

__attribute__((constructor)) static void prepare(void) { pthread_atfork(0, 0, forget_helpers); }
