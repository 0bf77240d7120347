/* A request from what is known of the user on, in one call. */
#define _DEFAULT_SOURCE /* clock_gettime */
#include <string.h>
#include <time.h>

#include "native.h"
#include "vectors.h"

/* Of a clock that never goes back. */
double recall_seconds(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec + 1e-9 * now.tv_nsec;
}

/* The n found and the items behind, of which the k best stay, equal ones by row; how many. */
static int64_t with_more(const Find *find, int64_t n) {
    int64_t dim = find->reduced->dim, n_items = find->reduced->items.n, most = n + find->n_more;
    int64_t *rows = malloc(most * sizeof *rows);
    float *scores = malloc(most * sizeof *scores);
    memcpy(rows, find->rows, n * sizeof *rows), memcpy(scores, find->scores, n * sizeof *scores);
    Range ranges[MAX_RANGES];
    int64_t n_ranges = ranges_of(find->query, dim, ranges);
    for (int64_t i = 0; i < find->n_more; i++) {
        if (find->eligible && !find->eligible[n_items + i]) continue;
        rows[n] = n_items + i, scores[n++] = dot_of_ranges(find->more + i * dim, find->query, ranges, n_ranges);
    }
    int32_t *order = malloc(2 * n * sizeof *order);
    uint32_t *keys = malloc(n * sizeof *keys);
    order_falling(scores, n, order, keys, order + n);
    if (n > find->k) n = find->k;
    for (int64_t i = 0; i < n; i++) find->rows[i] = rows[order[i]], find->scores[i] = scores[order[i]];
    free(rows), free(scores), free(order), free(keys);
    return n;
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
    int64_t n = recall_search(find->reduced, find->query, find->k, find->n_compared, find->eligible, find->rows,
                              find->scores);
    if (n && find->n_more) n = with_more(find, n);
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
