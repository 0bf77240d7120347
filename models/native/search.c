/* What the best are: of users' texts, of items on a few axes, of a pool. */
#include "native.h"
#include "vectors.h"
#if defined(__AVX2__)
#include <immintrin.h>
#endif

enum { ROWS = PACKED_ROWS };
_Static_assert(ROWS == 16, "two registers of eight sums");

/* Inner products of ROWS packed rows with a query of `pairs` pairs. */
static void dots_rounded(const int8_t *packed, const int16_t *query, int64_t pairs, int32_t *sums) {
#if defined(__AVX2__)
    __m256i first = _mm256_setzero_si256(), second = first;
    for (int64_t i = 0; i < pairs; i++) {
        int32_t pair;
        memcpy(&pair, query + 2 * i, sizeof pair);
        const __m128i *rows = (const __m128i *)(packed + i * 2 * ROWS);
        __m256i asked = _mm256_set1_epi32(pair);
        first = _mm256_add_epi32(first, _mm256_madd_epi16(_mm256_cvtepi8_epi16(_mm_loadu_si128(rows)), asked));
        second = _mm256_add_epi32(second, _mm256_madd_epi16(_mm256_cvtepi8_epi16(_mm_loadu_si128(rows + 1)), asked));
    }
    _mm256_storeu_si256((__m256i *)sums, first);
    _mm256_storeu_si256((__m256i *)sums + 1, second);
#else
    memset(sums, 0, ROWS * sizeof *sums);
    for (int64_t i = 0; i < 2 * pairs; i += 2, packed += 2 * ROWS)
        for (int row = 0; row < ROWS; row++)
            sums[row] += packed[2 * row] * query[i] + packed[2 * row + 1] * query[i + 1];
#endif
}

/* Places, by row, of the rows that score best as far as int8 tells: so many, and those that equal the last; how many.

   `eligible` may be NULL; wanted is 1 to the eligible rows. */
static int64_t choose(const Rounded *rounded, const float *asked, int64_t wanted, const uint8_t *eligible,
                      int32_t *places) {
    int64_t n = rounded->n, width = rounded->width, pairs = (width + 1) / 2, found = 0;
    int16_t query[2 * pairs + 2];
    float top = 0;
    uint32_t *keys = memory(2 * n * sizeof *keys);
    query[width] = 0;
    for (int64_t i = 0; i < width; i++) top = fmaxf(top, fabsf(asked[i]));
    for (int64_t i = 0; i < width; i++) query[i] = top > 0 ? (int16_t)lrintf(asked[i] * 1023 / top) : 0;
    for (int64_t row = 0; row < n; row += ROWS) {
        int32_t sums[ROWS];
        dots_rounded(rounded->packed + row * 2 * pairs, query, pairs, sums);
        for (int64_t i = row; i < row + ROWS && i < n; i++) keys[i] = falling(rounded->factors[i] * sums[i - row]);
    }
    if (eligible)
        for (int64_t i = 0; i < n; i++)
            if (!eligible[i]) keys[i] = UINT32_MAX;
    uint32_t last = wanted < n ? kth_smallest(keys, n, wanted, keys + n) : UINT32_MAX;
    if (last == UINT32_MAX) last--; /* who isn't eligible stays out, whatever is wanted */
    for (int64_t i = 0; i < n; i++) {
        places[found] = (int32_t)i;
        found += keys[i] <= last;
    }
    free(keys);
    return found;
}

/* Writes the k best of some places by score, equal ones by row; how many. */
static int64_t best(const int32_t *places, const float *scores, int64_t n, int64_t k, int64_t *rows, float *sorted) {
    uint32_t *keys = memory(3 * n * sizeof *keys);
    int32_t *order = (int32_t *)keys + n;
    order_falling(scores, n, order, keys, order + n);
    if (n > k) n = k;
    for (int64_t i = 0; i < n; i++) rows[i] = places[order[i]], sorted[i] = scores[order[i]];
    free(keys);
    return n;
}

/* The nearest of unit rows to a unit vector, falling cosines above 0, equal ones by row; how many there are. */
static int64_t nearest(const Writers *writers, const float *asked, int64_t *found, float *cosines) {
    int64_t width = writers->texts.width, k = writers->nearest;
    int64_t wanted = k + k / 2 < writers->texts.n ? k + k / 2 : writers->texts.n;
    int32_t *places = memory(writers->texts.n * sizeof *places);
    int64_t n = choose(&writers->texts, asked, wanted, NULL, places);
    float *exact = memory(n * sizeof *exact);
    for (int64_t i = 0; i < n; i++) exact[i] = dot(writers->rows + places[i] * width, asked, width);
    n = best(places, exact, n, k, found, cosines);
    while (n && !(cosines[n - 1] > 0)) n--;
    free(places), free(exact);
    return n;
}

/* Users who wrote most like the sum of some texts' first columns, the nearest first, and what each counts in each view,
   (n_views, n); how many. */
int64_t recall_alike(const Writers *writers, const float *texts, int64_t n_texts, int64_t stride, int64_t *users,
                     float *weights) {
    int64_t width = writers->texts.width;
    float asked[width], cosines[writers->nearest];
    memset(asked, 0, sizeof asked);
    for (int64_t i = 0; i < n_texts; i++) add(asked, texts + i * stride, 1, width);
    float norm = sqrtf(dot(asked, asked, width));
    if (!(norm > 0)) return 0;
    scale(asked, 1 / norm, width);
    int64_t n = nearest(writers, asked, users, cosines);
    for (int64_t view = 0; view < writers->n_views; view++, weights += n) {
        float sum = 0;
        for (int64_t i = 0; i < n; i++)
            sum += weights[i] = i < writers->counted[view] ? powf(cosines[i], writers->powers[view]) : 0;
        scale(weights, 1 / fmaxf(sum, 1e-30f), n);
    }
    return n;
}

/* The items of the largest inner products among those compared, falling scores, equal ones by row; how many, 0 where the
   query holds what is no number. */
int64_t recall_search(const Compared *compared, const float *query, int64_t *rows, float *scores) {
    const Reduced *reduced = compared->reduced;
    int64_t dim = reduced->dim, rank = reduced->items.width;
    float turned[rank];
    Range ranges[MAX_RANGES];
    int64_t n_ranges = ranges_of(query, dim, ranges);
    for (int64_t axis = 0; axis < rank; axis++) {
        turned[axis] = 0;
        for (int64_t i = 0; i < n_ranges; i++)
            turned[axis] += half_dot((const half *)reduced->axes + axis * dim + ranges[i].start,
                                     query + ranges[i].start, ranges[i].size);
    }
    if (!(dot(turned, turned, rank) < INFINITY)) return 0;
    int32_t *places = memory(reduced->items.n * sizeof *places);
    int64_t found = choose(&reduced->items, turned, compared->n_compared, compared->eligible, places);
    float *exact = memory(found * sizeof *exact);
    for (int64_t i = 0; i < found; i++) {
        const float *next = reduced->vectors + places[i + 1 < found ? i + 1 : i] * dim;
        for (int64_t j = 0; j < n_ranges; j++) ask_for(next + ranges[j].start, ranges[j].size);
        exact[i] = dot_of_ranges(reduced->vectors + places[i] * dim, query, ranges, n_ranges);
    }
    found = best(places, exact, found, compared->k, rows, scores);
    free(places), free(exact);
    return found;
}
