/* What models/relation_features.py and models/relation_head.py say in numpy, for a pool. Names and order are theirs. */
#include "native.h"
#include "vectors.h"

enum { FIRST = 10, PIECE = 16 };
static const float FADE = 0.8f, STRETCH = 50, TOGETHER_STRETCH = 5, ALIKE_STRETCH = 1000;

static inline float compress(float value, float stretch) { return copysignf(log1pf(stretch * fabsf(value)), value); }

/* Where rows are among the candidates: a hash table of open addresses, at most half full. */
typedef struct {
    int32_t *rows, *places;
    uint32_t mask;
} Places;

static inline uint32_t slot_of(const Places *table, int32_t row) { return (uint32_t)row * 2654435761u >> 7 & table->mask; }

static Places places_of(const int64_t *rows, int64_t n) {
    Places table = {.mask = 63};
    while (table.mask < 2 * n) table.mask = 2 * table.mask + 1;
    table.rows = memory(2 * (table.mask + 1) * sizeof *table.rows);
    table.places = table.rows + table.mask + 1;
    memset(table.rows, 0xff, (table.mask + 1) * sizeof *table.rows);
    for (int64_t i = 0; i < n; i++) {
        uint32_t slot = slot_of(&table, (int32_t)rows[i]);
        while (table.rows[slot] >= 0) slot = (slot + 1) & table.mask;
        table.rows[slot] = (int32_t)rows[i], table.places[slot] = (int32_t)i;
    }
    return table;
}

static inline int32_t place_of(const Places *table, int32_t row) {
    if (row < 0) return -1;
    for (uint32_t slot = slot_of(table, row);; slot = (slot + 1) & table->mask) {
        if (table->rows[slot] == row) return table->places[slot];
        if (table->rows[slot] < 0) return -1;
    }
}

/* The cosines of an item's neighbours among the candidates, each by its weight: their largest, sum and plain value. */
static void together(const Known *known, int64_t row, float weight, const Places *places, float *nearest, float *sum,
                     float *plain) {
    if (row >= known->n_fitted) return;
    const int32_t *near = known->near + row * known->n_near;
    const float *cosines = known->near_cosines + row * known->n_near;
    for (int64_t i = 0; i < known->n_near; i++) {
        int32_t place = place_of(places, near[i]);
        if (place < 0) continue;
        nearest[place] = fmaxf(nearest[place], weight * cosines[i]);
        sum[place] += weight * cosines[i];
        if (plain) plain[place] = cosines[i];
    }
}

static const float *vector_of(const Items *items, int64_t row) {
    return row < items->n_base ? items->base + row * items->stride : items->more + (row - items->n_base) * items->stride;
}

static void by_history(const Known *known, const float *item, float *const f[], int64_t at) {
    int64_t n = known->n_read_history, d0 = known->d0, d1 = known->d1, d2 = known->d2;
    float meaning[n], behaviour[n], tower[n], fade = 1, fades = 0, faded = 0;
    dots(meaning, known->item_meaning, item, n, d0);
    dots(behaviour, known->item_behaviour, item + d0, n, d1);
    dots(tower, known->item_tower, item + d0 + d1, n, d2);
    for (int64_t i = n - 1; i >= 0; i--, fade *= FADE) faded += fade * meaning[i], fades += fade;
    f[2][at] = compress(dot(known->behaviour, item + d0, d1), 1);
    f[5][at] = largest(meaning, n), f[6][at] = meaning[n - 1], f[7][at] = faded / fades;
    f[8][at] = compress(largest(behaviour, n), STRETCH), f[9][at] = compress(behaviour[n - 1], STRETCH);
    f[10][at] = largest(tower, n), f[11][at] = tower[n - 1];
}

static void by_texts(const Known *known, const float *item, float *const f[], int64_t at, float alone) {
    int64_t n = known->n_read_texts;
    float meaning[n], tower[n];
    if (!alone) dots(meaning, known->text_meaning, item, n, known->d0);
    dots(tower, known->text_tower, item + known->d0 + known->d1, n, known->d2);
    f[15][at] = alone ? alone * f[1][at] : largest(meaning, n), f[16][at] = largest(tower, n);
}

static void beside_the_first(const Known *known, const int64_t *rows, const float *scores, int64_t n,
                             const Places *places, float *const f[]) {
    int64_t n_first = n < FIRST ? n : FIRST;
    float shares[FIRST], sum = 0;
    for (int64_t i = 0; i < n_first; i++) sum += shares[i] = expf(scores[i] - scores[0]);
    for (int64_t i = 0; i < n_first; i++) together(known, rows[i], shares[i] / sum, places, f[17], f[18], NULL);
    scale(f[17], FIRST, n);
}

static void by_who_wrote_alike(const Known *known, const Places *places, float *const f[], int64_t n) {
    for (int64_t i = 0; i < known->n_alike; i++)
        for (int64_t j = known->starts[known->alike[i]]; j < known->starts[known->alike[i] + 1]; j++) {
            int32_t place = place_of(places, known->consumed[j]);
            if (place < 0) continue;
            f[21][place] += known->alike_weights[i];
            f[22][place] += known->alike_weights[known->n_alike + i];
        }
    for (int64_t at = 0; at < n; at++)
        if (f[21][at] > 0)
            f[21][at] = log1pf(ALIKE_STRETCH * f[21][at]), f[22][at] = log1pf(ALIKE_STRETCH * f[22][at]);
}

/* The features of a pool, best first: `features`, zeros before, is (N_FEATURES, n). */
void recall_features(const Known *known, const int64_t *rows, const float *scores, int64_t n, float *features) {
    int64_t d0 = known->d0, d2 = known->d2, width = d0 + known->d1 + d2;
    float *f[N_FEATURES];
    for (int i = 0; i < N_FEATURES; i++) f[i] = features + i * n;
    Places places = places_of(rows, n);
    float alone = 0, size = dot(known->zero_shot, known->zero_shot, d0);
    if (known->n_texts == 1 && !known->n_history && size > 0)
        alone = dot(known->text_meaning, known->zero_shot, d0) / size;
    float length = log1pf(known->n_history), words = log1pf(known->n_words);
    for (int64_t at = 0; at < n; at++) {
        const float *item = vector_of(&known->items, rows[at]);
        const float *next = vector_of(&known->items, rows[at + 1 < n ? at + 1 : at]);
        ask_for(next, known->n_history ? d0 + known->d1 : d0), ask_for(next + d0 + known->d1, d2 + 1);
        f[0][at] = scores[at];
        f[1][at] = dot(known->zero_shot, item, d0);
        f[3][at] = dot(known->tower, item + d0 + known->d1, d2);
        f[4][at] = item[width];
        if (known->n_history) by_history(known, item, f, at);
        if (known->n_texts) by_texts(known, item, f, at, alone);
        f[19][at] = length, f[20][at] = words;
    }
    float fade = 1;
    for (int64_t i = known->n_read_history - 1; i >= 0; i--, fade *= FADE)
        together(known, known->history[i], fade, &places, f[12], f[14],
                 i == known->n_read_history - 1 ? f[13] : NULL);
    if (known->n_history)
        for (int64_t at = 0; at < n; at++) f[14][at] = compress(f[14][at], TOGETHER_STRETCH);
    beside_the_first(known, rows, scores, n, &places, f);
    by_who_wrote_alike(known, &places, f, n);
    free(places.rows);
}

/* So many candidates at once, in wide registers. */
typedef float Piece __attribute__((vector_size(4 * PIECE)));

static inline Piece product(const float *weights, const Piece *from, int64_t n, float bias) {
    Piece even = {0}, odd = {0};
    even += bias;
    for (int64_t i = 0; i + 1 < n; i += 2) even += weights[i] * from[i], odd += weights[i + 1] * from[i + 1];
    if (n % 2) even += weights[n - 1] * from[n - 1];
    return even + odd;
}

static inline void relu_layer(const Affine *layer, int64_t height, int64_t width, const Piece *from, Piece *to) {
    for (int64_t i = 0; i < height; i++) {
        Piece sum = product(layer->weight + i * width, from, width, layer->bias[i]);
        for (int j = 0; j < PIECE; j++) to[i][j] = sum[j] > 0 ? sum[j] : 0;
    }
}

/* The relation scores of a pool whose features are (at least n_features, n), and their falling order. */
void recall_head(const Head *head, const float *features, int64_t n, float *scores, int32_t *order) {
    int64_t width = head->n_features, hidden = head->hidden;
    Piece from[width], inner[hidden], middle[hidden];
    for (int64_t start = 0; start < n; start += PIECE) {
        int64_t size = n - start < PIECE ? n - start : PIECE;
        for (int64_t i = 0; i < width; i++) {
            Piece feature = {0};
            memcpy(&feature, features + i * n + start, size * sizeof *features);
            from[i] = (feature - head->mean[i]) / head->deviation[i];
        }
        relu_layer(&head->inner, hidden, width, from, inner);
        relu_layer(&head->middle, hidden, hidden, inner, middle);
        Piece sum = product(head->linear, from, width, 0) + product(head->outer, middle, hidden, 0);
        memcpy(scores + start, &sum, size * sizeof *scores);
    }
    uint32_t *keys = memory(2 * n * sizeof *keys);
    order_falling(scores, n, order, keys, (int32_t *)keys + n);
    free(keys);
}
