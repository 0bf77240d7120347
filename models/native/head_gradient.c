/* What fitting the relation head asks of some pools: how likely what is wanted of them is, and which way it gets likelier.
   A pool's numbers lie side by side in rows of n candidates, and stay in the core's cache from one layer to the next. */
#include "native.h"
#include "vectors.h"

enum { LANES = 8, TALL = 4, BROAD = 3 }; /* the sums of a tile stay in registers */
typedef float Lanes __attribute__((vector_size(4 * LANES), aligned(4)));
typedef int32_t Bits __attribute__((vector_size(4 * LANES)));
_Static_assert(POOL_STEP == 2 * LANES, "pools come in whole steps");

static inline Lanes load(const float *from) { return *(const Lanes *)from; }
static inline void store(float *to, Lanes values) { *(Lanes *)to = values; }
static inline Lanes where(Lanes given, Lanes values) { return (Lanes)((Bits)values & (given > 0)); }
static inline int64_t least(int64_t a, int64_t b) { return a < b ? a : b; }

static inline float sum_of(Lanes values) {
    float sum = 0;
    for (int i = 0; i < LANES; i++) sum += values[i];
    return sum;
}

/* to = weights times from, plus the bias: (height, n) of (width, n). Neighbours in a row of weights are `right` apart, rows
   `down`. */
static void layer(const float *weights, int64_t height, int64_t down, int64_t width, int64_t right, const float *bias,
                  const float *restrict from, int64_t n, float *restrict to) {
    for (int64_t i = 0; i < height; i += TALL) {
        const float *row[TALL];
        for (int r = 0; r < TALL; r++) row[r] = weights + least(i + r, height - 1) * down;
        for (int64_t at = 0; at < n; at += 2 * LANES) {
            Lanes sums[TALL][2];
            for (int r = 0; r < TALL; r++) sums[r][0] = sums[r][1] = (Lanes){0} + (bias ? bias[least(i + r, height - 1)] : 0);
            for (int64_t k = 0; k < width; k++) {
                Lanes first = load(from + k * n + at), second = load(from + k * n + at + LANES);
                for (int r = 0; r < TALL; r++) sums[r][0] += row[r][k * right] * first, sums[r][1] += row[r][k * right] * second;
            }
            for (int r = 0; r < TALL && i + r < height; r++) memcpy(to + (i + r) * n + at, sums[r], sizeof sums[r]);
        }
    }
}

/* sums += each of some rows times each of others, over the candidates: (height, width) */
static void products(const float *left, int64_t height, const float *right, int64_t width, int64_t n, float *sums) {
    for (int64_t i = 0; i < height; i += TALL)
        for (int64_t j = 0; j < width; j += BROAD) {
            Lanes found[TALL][BROAD] = {0};
            const float *a[TALL], *b[BROAD];
            for (int r = 0; r < TALL; r++) a[r] = left + least(i + r, height - 1) * n;
            for (int c = 0; c < BROAD; c++) b[c] = right + least(j + c, width - 1) * n;
            for (int64_t at = 0; at < n; at += LANES)
                for (int r = 0; r < TALL; r++)
                    for (int c = 0; c < BROAD; c++) found[r][c] += load(a[r] + at) * load(b[c] + at);
            for (int r = 0; r < TALL && i + r < height; r++)
                for (int c = 0; c < BROAD && j + c < width; c++) sums[(i + r) * width + j + c] += sum_of(found[r][c]);
        }
}

static void add_sums(const float *rows, int64_t height, int64_t n, float *sums) {
    for (int64_t i = 0; i < height; i++)
        for (int64_t at = 0; at < n; at++) sums[i] += rows[i * n + at];
}

/* Nothing passes where a layer gives nothing: the layer itself, and what goes back through it. */
static void gate(float *values, const float *given, int64_t n) {
    for (int64_t i = 0; i < n; i += LANES) store(values + i, where(load(given + i), load(values + i)));
}

/* scores = the loss's derivatives by them; returns the loss: how unlikely a softmax finds the right answers. */
static float softmax_loss(float *scores, const float *wanted, int64_t size, int64_t n) {
    float top = scores[0], sum = 0, loss = 0;
    for (int64_t i = 1; i < size; i++) top = scores[i] > top ? scores[i] : top;
    for (int64_t i = 0; i < size; i++) {
        scores[i] -= top, loss -= wanted[i] * scores[i];
        sum += scores[i] = expf(scores[i]);
    }
    for (int64_t i = 0; i < size; i++) scores[i] = scores[i] / sum - wanted[i];
    memset(scores + size, 0, (n - size) * sizeof *scores);
    return loss + logf(sum);
}

float recall_head_gradient(const HeadFit *fit) {
    int64_t n = (fit->size + POOL_STEP - 1) / POOL_STEP * POOL_STEP, width = fit->n_features, hidden = fit->hidden;
    const float *inner = fit->parameters, *inner_bias = inner + hidden * width, *middle = inner_bias + hidden;
    const float *middle_bias = middle + hidden * hidden, *outer = middle_bias + hidden, *linear = outer + hidden;
    float *of_inner = fit->gradient, *of_inner_bias = of_inner + hidden * width, *of_middle = of_inner_bias + hidden;
    float *of_middle_bias = of_middle + hidden * hidden, *of_outer = of_middle_bias + hidden, *of_linear = of_outer + hidden;
    float *first = memory((3 * hidden + 1) * n * sizeof(float)), *second = first + hidden * n, *back = second + hidden * n;
    float *scores = back + hidden * n, loss = 0;
    for (int64_t number = 0; number < fit->n_pools; number++) {
        const float *known = fit->features + fit->pools[number] * width * n;
        layer(inner, hidden, width, width, 1, inner_bias, known, n, first);
        gate(first, first, hidden * n);
        layer(middle, hidden, hidden, hidden, 1, middle_bias, first, n, second);
        gate(second, second, hidden * n);
        memset(scores, 0, n * sizeof *scores);
        for (int64_t i = 0; i < width; i++) add(scores, known + i * n, linear[i], n);
        for (int64_t j = 0; j < hidden; j++) add(scores, second + j * n, outer[j], n);
        loss += softmax_loss(scores, fit->wanted + fit->pools[number] * n, fit->size, n);

        products(scores, 1, known, width, n, of_linear);
        products(scores, 1, second, hidden, n, of_outer);
        for (int64_t j = 0; j < hidden; j++) /* what goes back to the second layer, in its own place */
            for (float *row = second + j * n, *end = row + n, *score = scores; row < end; row += LANES, score += LANES)
                store(row, where(load(row), outer[j] * load(score)));
        products(second, hidden, first, hidden, n, of_middle);
        add_sums(second, hidden, n, of_middle_bias);
        layer(middle, hidden, 1, hidden, hidden, NULL, second, n, back);
        gate(back, first, hidden * n);
        products(back, hidden, known, width, n, of_inner);
        add_sums(back, hidden, n, of_inner_bias);
    }
    free(first);
    return loss;
}
