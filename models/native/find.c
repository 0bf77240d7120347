/* A request from what is known of the user on, in one call. */
#define _DEFAULT_SOURCE /* clock_gettime */
#include <time.h>

#include "native.h"
#include "vectors.h"

/* Of a clock that never goes back. */
double recall_seconds(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec + 1e-9 * now.tv_nsec;
}

/* Merges the n found with those of the items behind them, falling scores, equal ones by row; how many there are. */
static int64_t with_more(const Find *find, int64_t n) {
    int64_t k = find->items.k, behind = find->items.reduced->items.n, n_more, at = 0, more_at = 0, found = 0;
    int64_t *rows = memory((k + find->more.k) * sizeof *rows), *more_rows = rows + k;
    float *scores = memory((k + find->more.k) * sizeof *scores), *more_scores = scores + k;
    n_more = recall_search(&find->more, find->query, more_rows, more_scores);
    memcpy(rows, find->rows, n * sizeof *rows), memcpy(scores, find->scores, n * sizeof *scores);
    for (; found < k && (at < n || more_at < n_more); found++) {
        int is_more = at == n || (more_at < n_more && more_scores[more_at] > scores[at]);
        find->rows[found] = is_more ? behind + more_rows[more_at] : rows[at];
        find->scores[found] = is_more ? more_scores[more_at++] : scores[at++];
    }
    free(rows), free(scores);
    return found;
}

/* Asks for the user, searches, then rescores unless the deadline has passed. */
void recall_find(Find *find) {
    double start = recall_seconds();
    find->has_begun = 1;
    if (start > find->deadline) return;
    find->n = 0;
    if (find->ask) {
        recall_ask(find->ask);
        if (!find->ask->asked.is_known) return;
        if (find->known) find->known->n_alike = find->ask->asked.n_alike;
    }
    int64_t n = recall_search(&find->items, find->query, find->rows, find->scores);
    if (n && find->more.reduced) n = with_more(find, n);
    find->n = n;
    double middle = recall_seconds();
    find->search_seconds = middle - start;
    if (!find->head || middle > find->deadline) return;
    memset(find->features, 0, N_FEATURES * n * sizeof *find->features);
    recall_features(find->known, find->rows, find->scores, n, find->features);
    recall_head(find->head, find->features, n, find->relation, find->order);
    find->is_rescored = 1;
    find->rescore_seconds = recall_seconds() - middle;
}
