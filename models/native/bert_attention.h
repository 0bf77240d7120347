/* Attention in float32, by whatever instructions the including file is compiled for; after bert_body.h. */
enum { TOGETHER = 4 };
_Static_assert(TOGETHER <= QUERIES, "there is room for as many");

/* One head of `parts` times 16 dimensions: q, k and v have rows 3 * dim apart. Four queries share what is read. */
static inline __attribute__((always_inline)) void attend_head(const int parts, const float *q, int64_t dim, Tokens tokens,
                                                         const float *here, float *keys, float *weights, float *to) {
    int64_t n = tokens.n;
    const float *k = q + dim, *v = k + dim, scale = 1 / sqrtf(parts * LANES);
    int64_t stride = 3 * dim, padded = (n + LANES - 1) / LANES * LANES;
    Lanes beyond; /* the last key; added, as a wide load waits long for what narrower stores have just changed */
    for (int lane = 0; lane < LANES; lane++) beyond[lane] = padded - LANES + lane < n ? 0 : -INFINITY;
    for (int d = 0; d < parts * LANES; d++) {
        for (int64_t j = 0; j < n; j++) keys[d * padded + j] = scale * k[j * stride + d];
        for (int64_t j = n; j < padded; j++) keys[d * padded + j] = 0;
    }
    for (int64_t i = tokens.from; i < tokens.to; i += TOGETHER) {
        const float *asked[TOGETHER], *near[TOGETHER];
        for (int r = 0; r < TOGETHER; r++) {
            int64_t at = i + r < tokens.to ? i + r : tokens.to - 1;
            asked[r] = q + at * stride, near[r] = here ? here - at : NULL;
        }
        for (int64_t j = 0; j < padded; j += LANES) {
            Lanes sums[TOGETHER] = {0};
            for (int d = 0; d < parts * LANES; d++)
                for (int r = 0; r < TOGETHER; r++) sums[r] += load(keys + d * padded + j) * asked[r][d];
            for (int r = 0; r < TOGETHER; r++) {
                if (here) sums[r] += load(near[r] + j);
                store(weights + r * padded + j, j + LANES < padded ? sums[r] : sums[r] + beyond);
            }
        }
        Lanes found[TOGETHER][WIDE_HEAD / LANES] = {0};
        float totals[TOGETHER];
        for (int r = 0; r < TOGETHER; r++) {
            float *row = weights + r * padded;
            Lanes top = load(row), total = all(0);
            for (int64_t j = LANES; j < padded; j += LANES) top = larger(top, load(row + j));
            Lanes most = all(largest_of(top));
            for (int64_t j = 0; j < padded; j += LANES) {
                Lanes weight = exponential(load(row + j) - most);
                store(row + j, weight);
                total += weight;
            }
            totals[r] = sum_of(total);
        }
        for (int64_t j = 0; j < n; j++)
            for (int r = 0; r < TOGETHER; r++)
                for (int part = 0; part < parts; part++)
                    found[r][part] += load(v + j * stride + part * LANES) * weights[r * padded + j];
        for (int r = 0; r < TOGETHER && i + r < tokens.to; r++)
            for (int part = 0; part < parts; part++)
                store(to + (i + r) * dim + part * LANES, found[r][part] / totals[r]);
    }
}

static void attend(const Bert *bert, const float *attention, Tokens tokens, float *keys, float *weights, float *to) {
    int64_t size = bert->dim / bert->heads;
    for (int64_t at = 0; at < bert->dim; at += size) {
        const float *here = distances_of(bert, at / size);
        if (size == WIDE_HEAD)
            attend_head(WIDE_HEAD / LANES, attention + at, bert->dim, tokens, here, keys, weights, to + at);
        else
            attend_head(NARROW_HEAD / LANES, attention + at, bert->dim, tokens, here, keys, weights, to + at);
    }
}
