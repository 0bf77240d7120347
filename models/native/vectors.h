/* Small pieces that the other files share: memory, products, order, selection. None of them knows what is
   no number: recall_search turns such queries away. */
#ifndef RECALL_VECTORS_H
#define RECALL_VECTORS_H

#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Weights that are only read: half the bytes, which is what reading them costs. */
typedef _Float16 half;

/* Memory for what is being computed, to be freed; a process that gets so little no more says so, and ends. */
static inline void *memory(int64_t size) {
    void *found = malloc(size);
    if (found != NULL || size == 0) return found;
    fprintf(stderr, "the compiled library gets no %lld bytes of memory; give the process more\n", (long long)size);
    abort();
}

static inline float dot(const float *restrict a, const float *restrict b, int64_t n) {
    float sum = 0;
    for (int64_t i = 0; i < n; i++) sum += a[i] * b[i];
    return sum;
}

/* Has values on their way while something else is computed. */
static inline void ask_for(const float *values, int64_t n) {
    for (int64_t i = 0; i < n; i += 16) __builtin_prefetch(values + i);
}

/* Where a query is not 0: what lies between needn't be read. */
typedef struct {
    int64_t start, size;
} Range;

enum { BLOCK = 64, MAX_RANGES = 16 };

static inline int64_t ranges_of(const float *query, int64_t n, Range *ranges) {
    int64_t found = 0;
    for (int64_t start = 0; start < n; start += BLOCK) {
        int64_t size = n - start < BLOCK ? n - start : BLOCK;
        int is_zero = 1;
        for (int64_t i = start; i < start + size; i++) is_zero &= query[i] == 0;
        if (is_zero) continue;
        Range *last = ranges + found - 1;
        if (found && (last->start + last->size == start || found == MAX_RANGES))
            last->size = start + size - last->start;
        else
            ranges[found++] = (Range){start, size};
    }
    return found;
}

static inline float dot_of_ranges(const float *row, const float *query, const Range *ranges, int64_t n_ranges) {
    float sum = 0;
    for (int64_t i = 0; i < n_ranges; i++) sum += dot(row + ranges[i].start, query + ranges[i].start, ranges[i].size);
    return sum;
}

/* sum += weight * row */
static inline void add(float *restrict sum, const float *restrict row, float weight, int64_t n) {
    for (int64_t i = 0; i < n; i++) sum[i] += weight * row[i];
}

/* to = rows times b, four at once: what is read of b serves all of them. */
static inline void dots(float *restrict to, const float *restrict rows, const float *restrict b, int64_t n_rows,
                        int64_t n) {
    int64_t row = 0;
    for (; row + 4 <= n_rows; row += 4) {
        const float *r0 = rows + row * n, *r1 = r0 + n, *r2 = r1 + n, *r3 = r2 + n;
        float s0 = 0, s1 = 0, s2 = 0, s3 = 0;
        for (int64_t i = 0; i < n; i++) s0 += r0[i] * b[i], s1 += r1[i] * b[i], s2 += r2[i] * b[i], s3 += r3[i] * b[i];
        to[row] = s0, to[row + 1] = s1, to[row + 2] = s2, to[row + 3] = s3;
    }
    for (; row < n_rows; row++) to[row] = dot(rows + row * n, b, n);
}

static inline float largest(const float *values, int64_t n) {
    float top = values[0];
    for (int64_t i = 1; i < n; i++) top = fmaxf(top, values[i]);
    return top;
}

static inline float half_dot(const half *restrict a, const float *restrict b, int64_t n) {
    float sum = 0;
    for (int64_t i = 0; i < n; i++) sum += (float)a[i] * b[i];
    return sum;
}

static inline void half_add(float *restrict sum, const half *restrict row, float weight, int64_t n) {
    for (int64_t i = 0; i < n; i++) sum[i] += weight * (float)row[i];
}

/* to = W from + b, W of shape (height, width) */
static inline void linear(float *restrict to, const half *restrict weight, const float *restrict bias,
                          const float *restrict from, int64_t height, int64_t width) {
    for (int64_t i = 0; i < height; i++) to[i] = half_dot(weight + i * width, from, width) + bias[i];
}

static inline void scale(float *values, float factor, int64_t n) {
    for (int64_t i = 0; i < n; i++) values[i] *= factor;
}

/* Unit length; zeros stay zeros. */
static inline void unit(float *values, int64_t n) {
    float norm = sqrtf(dot(values, values, n));
    scale(values, 1 / fmaxf(norm, 1e-12f), n);
}

/* Falling order of floats as rising order of integers. */
static inline uint32_t falling(float score) {
    uint32_t bits;
    memcpy(&bits, &score, 4);
    if (bits == 0x80000000u) bits = 0; /* -0 equals 0 */
    return bits & 0x80000000u ? bits : ~bits & 0x7fffffffu;
}

/* order = positions by falling score, equal scores by position: three passes of a radix sort. */
static inline void order_falling(const float *scores, int64_t n, int32_t *order, uint32_t *keys, int32_t *spare) {
    enum { BITS = 11, BINS = 1 << BITS };
    for (int64_t i = 0; i < n; i++) {
        keys[i] = falling(scores[i]);
        order[i] = (int32_t)i;
    }
    for (int shift = 0; shift < 32; shift += BITS) {
        uint32_t starts[BINS + 1] = {0};
        for (int64_t i = 0; i < n; i++) starts[(keys[i] >> shift & (BINS - 1)) + 1]++;
        for (int bin = 0; bin < BINS; bin++) starts[bin + 1] += starts[bin];
        for (int64_t i = 0; i < n; i++) spare[starts[keys[order[i]] >> shift & (BINS - 1)]++] = order[i];
        memcpy(order, spare, n * sizeof *order);
    }
}

/* The k-th smallest key; k is 1 to n. */
static inline uint32_t kth_smallest(const uint32_t *keys, int64_t n, int64_t k, uint32_t *spare) {
    enum { SHIFT = 20, BINS = 1 << (32 - SHIFT) };
    uint32_t counts[BINS] = {0}, bin = 0;
    for (int64_t i = 0; i < n; i++) counts[keys[i] >> SHIFT]++;
    int64_t before = 0;
    while (before + counts[bin] < k) before += counts[bin++];
    int64_t found = 0;
    for (int64_t i = 0; i < n; i++) {
        spare[found] = keys[i]; /* no branch: most aren't in the bin, and are written over */
        found += keys[i] >> SHIFT == bin;
    }
    /* What falls into one bin is little: bit by bit. */
    uint32_t value = bin << SHIFT;
    k -= before;
    for (int bit = SHIFT - 1; bit >= 0; bit--) {
        int64_t zeros = 0;
        for (int64_t i = 0; i < found; i++) zeros += !(spare[i] >> bit & 1);
        uint32_t one = k > zeros;
        k -= one ? zeros : 0;
        value |= one << bit;
        int64_t kept = 0;
        for (int64_t i = 0; i < found; i++) {
            uint32_t key = spare[i];
            spare[kept] = key;
            kept += (key >> bit & 1) == one;
        }
        found = kept;
    }
    return value;
}

#endif
