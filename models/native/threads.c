/* Threads of the library's own: they never wait for Python's interpreter, nor it for them. */
#define _GNU_SOURCE /* SCHED_BATCH */
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

#include "native.h"

enum { STACK_BYTES = 1 << 21 }; /* some C libraries give 128 kB */

struct Threads {
    pthread_mutex_t lock;
    pthread_cond_t wanted;
    Job *first, *last, *done;
    int bell, is_over, n;
    pthread_t ids[];
};

/* Has this thread wait its turn: one that is woken would else take the core from the one that woke it, which has more
   to hand out. */
static void be_patient(void) {
#ifdef SCHED_BATCH
    sched_setscheduler(0, SCHED_BATCH, &(struct sched_param){0});
#endif
}

static void *work(void *given) {
    Threads *threads = given;
    be_patient();
    pthread_mutex_lock(&threads->lock);
    while (!threads->is_over) {
        Job *job = threads->first;
        if (!job) {
            pthread_cond_wait(&threads->wanted, &threads->lock);
            continue;
        }
        threads->first = job->next;
        pthread_mutex_unlock(&threads->lock);
        job->run(job->what);
        pthread_mutex_lock(&threads->lock);
        int is_alone = threads->done == NULL;
        job->next = threads->done, threads->done = job;
        /* The bell is a pipe that isn't full: it is rung once for whatever is done before somebody comes. */
        if (is_alone && write(threads->bell, "", 1) < 0) continue;
    }
    pthread_mutex_unlock(&threads->lock);
    return NULL;
}

/* Starts n threads, which write a byte to `bell` when something is done; NULL where there can't be any. */
Threads *recall_start_threads(int n, int bell) {
    Threads *threads = calloc(1, sizeof *threads + n * sizeof *threads->ids);
    if (threads == NULL) return NULL;
    pthread_mutex_init(&threads->lock, NULL), pthread_cond_init(&threads->wanted, NULL);
    threads->bell = bell;
    pthread_attr_t attributes;
    pthread_attr_init(&attributes), pthread_attr_setstacksize(&attributes, STACK_BYTES);
    sigset_t all, before; /* signals are Python's */
    sigfillset(&all), pthread_sigmask(SIG_SETMASK, &all, &before);
    while (threads->n < n && !pthread_create(threads->ids + threads->n, &attributes, work, threads)) threads->n++;
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    pthread_attr_destroy(&attributes);
    if (threads->n) return threads;
    recall_stop_threads(threads);
    return NULL;
}

/* Hands over a job, which has to stay where it is until it is done. */
void recall_send(Threads *threads, Job *job) {
    pthread_mutex_lock(&threads->lock);
    if (threads->first)
        threads->last->next = job;
    else
        threads->first = job;
    threads->last = job, job->next = NULL;
    pthread_mutex_unlock(&threads->lock);
    pthread_cond_signal(&threads->wanted);
}

/* Writes the numbers of jobs that are done, at most n, and forgets these; how many. */
int64_t recall_done(Threads *threads, int64_t *numbers, int64_t n) {
    int64_t found = 0;
    pthread_mutex_lock(&threads->lock);
    for (; found < n && threads->done; threads->done = threads->done->next) numbers[found++] = threads->done->number;
    pthread_mutex_unlock(&threads->lock);
    return found;
}

/* Waits for what has begun, and leaves the rest undone. */
void recall_stop_threads(Threads *threads) {
    pthread_mutex_lock(&threads->lock);
    threads->is_over = 1;
    pthread_mutex_unlock(&threads->lock);
    pthread_cond_broadcast(&threads->wanted);
    for (int i = 0; i < threads->n; i++) pthread_join(threads->ids[i], NULL);
    pthread_mutex_destroy(&threads->lock), pthread_cond_destroy(&threads->wanted);
    free(threads);
}
