/* Where a text's numbers are while it is encoded, one row a token. */
#ifndef RECALL_BERT_SPACE_H
#define RECALL_BERT_SPACE_H

#include "native.h"

enum { QUERIES = 16 }; /* that look at the keys at a time */

/* What a layer reads, rounded by groups of neighbours: shape (n, width), and (n, groups) of the others. */
typedef struct {
    int8_t *values;
    float *factors; /* value = factor * rounded */
    int32_t *sums;  /* 128 times each group's: what the 128 in packed weights adds to an inner product */
} Activations;

typedef struct {
    float *states, *found, *inner; /* (n, dim) twice, (n, hidden) */
    float *attention[2];           /* (n, 3 * dim): while some still read a block's, others write the next one's */
    Activations rounded;           /* rows of hidden and of MAX_GROUPS */
    float *keys, *weights;         /* of each part: (WIDE_HEAD, padded), (QUERIES, padded) */
    int64_t padded;
} Space;

static inline void *take(char *memory, int64_t *taken, int64_t bytes) {
    void *from = memory ? memory + *taken : NULL;
    *taken += (bytes + 63) / 64 * 64;
    return from;
}

/* Lays it out in memory that begins at a cache line, or NULL; returns how many bytes that are. */
static inline int64_t lay_out(Space *space, const Bert *bert, int64_t n, int64_t parts, char *memory) {
    int64_t dim = bert->dim, hidden = bert->hidden, number = sizeof(float), taken = 0;
    space->padded = (n + READ_ROWS - 1) / READ_ROWS * READ_ROWS;
    space->states = take(memory, &taken, n * dim * number);
    space->found = take(memory, &taken, n * dim * number);
    space->inner = take(memory, &taken, n * hidden * number);
    space->attention[0] = space->attention[1] = take(memory, &taken, 3 * n * dim * number);
    if (parts > 1) space->attention[1] = take(memory, &taken, 3 * n * dim * number);
    space->rounded.values = take(memory, &taken, (n + READ_ROWS) * hidden);
    space->rounded.factors = take(memory, &taken, n * MAX_GROUPS * number);
    space->rounded.sums = take(memory, &taken, n * MAX_GROUPS * number);
    space->keys = take(memory, &taken, parts * WIDE_HEAD * space->padded * number);
    space->weights = take(memory, &taken, parts * QUERIES * space->padded * number);
    return taken;
}

#endif
