/* A text's vector by BERT in int8 (Sentence-BERT: arXiv:1908.10084). Each file that includes this one compiles it for
   some instructions, names what comes out ENCODE, and defines `multiply`. Vectors of 16 floats are clang's extension:
   whatever registers there are hold them. */
enum { LANES = 16, TOGETHER = 4 };
typedef float Lanes __attribute__((vector_size(64), aligned(4)));
typedef int32_t Ints __attribute__((vector_size(64), aligned(4)));
typedef int8_t Bytes __attribute__((vector_size(16), aligned(1)));

/* What a layer reads, rounded by groups of neighbours: shape (n, width), and (n, groups) of the others. */
typedef struct {
    int8_t *values;
    float *factors; /* value = factor * rounded */
    int32_t *sums;  /* 128 times each group's: what the 128 in packed weights adds to an inner product */
} Activations;

/* to = layer(from); rows of values may be read up to the next multiple of 32. */
static void multiply(const PackedLayer *layer, const Activations *from, int64_t n, float *to);

static inline Lanes load(const float *from) { return *(const Lanes *)from; }
static inline void store(float *to, Lanes values) { *(Lanes *)to = values; }
static inline Lanes all(float value) { return (Lanes){0} + value; }
static inline Lanes larger(Lanes a, Lanes b) { return __builtin_elementwise_max(a, b); }
static inline Lanes smaller(Lanes a, Lanes b) { return __builtin_elementwise_min(a, b); }

/* By integers that sort as the floats do: of floats, clang asks at each step for what is no number. */
static inline float largest_of(Lanes values) {
    Ints bits = (Ints)values, keys = bits ^ (bits >> 31 & 0x7fffffff);
    int32_t key = __builtin_reduce_max(keys), top = key ^ (key >> 31 & 0x7fffffff);
    float largest;
    memcpy(&largest, &top, sizeof largest);
    return largest;
}

static inline float sum_of(Lanes values) {
    float sum = 0;
    for (int i = 0; i < LANES; i++) sum += values[i];
    return sum;
}

/* e^x for x <= 0: a power of 2, whole and rest; the rest by a polynomial (relative error below 4e-6). */
static inline Lanes exponential(Lanes x) {
    x = larger(x * 1.44269504f, all(-126));
    Lanes whole = __builtin_elementwise_roundeven(x), rest = x - whole, sum = all(.0013333558f);
    sum = sum * rest + .0096181291f;
    sum = sum * rest + .0555041087f;
    sum = sum * rest + .2402265070f;
    sum = sum * rest + .6931471806f;
    sum = sum * rest + 1;
    return sum * (Lanes)((__builtin_convertvector(whole, Ints) + 127) << 23);
}

/* x times the normal distribution's Phi(x): Phi by an odd polynomial between -4 and 4 (error of the product below 2e-4
   where |x| < 10 and 2e-5 of x beyond, and int8 comes next). */
static void gelu(float *values, int64_t n) {
    for (int64_t i = 0; i < n; i += LANES) {
        Lanes x = load(values + i), near = smaller(larger(x, all(-4)), all(4)), square = near * near;
        Lanes sum = all(2.278641023e-08f);
        sum = sum * square - 1.598888110e-06f;
        sum = sum * square + 4.796200843e-05f;
        sum = sum * square - 8.140889958e-04f;
        sum = sum * square + 8.772818800e-03f;
        sum = sum * square - 6.457431266e-02f;
        sum = sum * square + 3.978845457e-01f;
        store(values + i, x * (near * sum + .5f));
    }
}

/* to = the layer norm of from + more */
static void add_norm(float *to, const float *from, const float *more, const Affine *norm, float epsilon, int64_t dim) {
    Lanes sum = all(0), squares = all(0);
    for (int64_t i = 0; i < dim; i += LANES) sum += load(from + i) + load(more + i);
    Lanes mean = all(sum_of(sum) / dim);
    for (int64_t i = 0; i < dim; i += LANES) {
        Lanes centred = load(from + i) + load(more + i) - mean;
        squares += centred * centred;
        store(to + i, centred);
    }
    Lanes factor = all(1 / sqrtf(sum_of(squares) / dim + epsilon));
    for (int64_t i = 0; i < dim; i += LANES)
        store(to + i, load(to + i) * factor * load(norm->weight + i) + load(norm->bias + i));
}

static void round_group(const float *from, int64_t n, int8_t *values, float *factor, int32_t *sum) {
    Ints bits = {0}; /* of absolute values, which sort as these do */
    for (int64_t i = 0; i < n; i += LANES)
        bits = __builtin_elementwise_max(bits, (Ints)load(from + i) & 0x7fffffff);
    float largest = largest_of((Lanes)bits);
    Lanes scale = all(largest > 1e-30f ? 127 / largest : 0);
    Ints total = {0};
    for (int64_t i = 0; i < n; i += LANES) {
        Ints rounded = __builtin_convertvector(__builtin_elementwise_roundeven(load(from + i) * scale), Ints);
        total += rounded;
        *(Bytes *)(values + i) = __builtin_convertvector(rounded, Bytes);
    }
    *factor = largest / 127;
    *sum = 128 * __builtin_reduce_add(total);
}

/* to = layer(from), from of shape (n, width) */
static void apply(const PackedLayer *layer, const float *from, int64_t n, const Activations *spare, float *to) {
    int64_t groups = layer->width / layer->group;
    for (int64_t i = 0; i < n * groups; i++)
        round_group(from + i * layer->group, layer->group, spare->values + i * layer->group, spare->factors + i,
                    spare->sums + i);
    multiply(layer, spare, n, to);
}

/* One head of `parts` times 16 dimensions: q, k and v have rows 3 * dim apart. Four queries share what is read. */
static inline __attribute__((always_inline)) void attend(const int parts, const float *q, int64_t dim, int64_t n,
                                                         float *keys, float *weights, float *to) {
    const float *k = q + dim, *v = k + dim, scale = 1 / sqrtf(parts * LANES);
    int64_t stride = 3 * dim, padded = (n + LANES - 1) / LANES * LANES;
    for (int d = 0; d < parts * LANES; d++) {
        for (int64_t j = 0; j < n; j++) keys[d * padded + j] = scale * k[j * stride + d];
        for (int64_t j = n; j < padded; j++) keys[d * padded + j] = 0;
    }
    for (int64_t i = 0; i < n; i += TOGETHER) {
        const float *asked[TOGETHER];
        for (int r = 0; r < TOGETHER; r++) asked[r] = q + (i + r < n ? i + r : n - 1) * stride;
        for (int64_t j = 0; j < padded; j += LANES) {
            Lanes sums[TOGETHER] = {0};
            for (int d = 0; d < parts * LANES; d++)
                for (int r = 0; r < TOGETHER; r++) sums[r] += load(keys + d * padded + j) * asked[r][d];
            for (int r = 0; r < TOGETHER; r++) store(weights + r * padded + j, sums[r]);
        }
        Lanes found[TOGETHER][WIDE_HEAD / LANES] = {0};
        float totals[TOGETHER];
        for (int r = 0; r < TOGETHER; r++) {
            float *row = weights + r * padded;
            for (int64_t j = n; j < padded; j++) row[j] = -INFINITY;
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
        for (int r = 0; r < TOGETHER && i + r < n; r++)
            for (int part = 0; part < parts; part++)
                store(to + (i + r) * dim + part * LANES, found[r][part] / totals[r]);
    }
}

static void attend_all(const Bert *bert, const float *attention, int64_t n, float *keys, float *weights, float *to) {
    int64_t size = bert->dim / bert->heads;
    for (int64_t at = 0; at < bert->dim; at += size) {
        if (size == WIDE_HEAD)
            attend(WIDE_HEAD / LANES, attention + at, bert->dim, n, keys, weights, to + at);
        else
            attend(NARROW_HEAD / LANES, attention + at, bert->dim, n, keys, weights, to + at);
    }
}

static void pool(const Bert *bert, const float *states, int64_t n, float *vector) {
    memcpy(vector, states, bert->out_dim * sizeof *vector);
    for (int64_t i = 1; bert->is_mean && i < n; i++)
        for (int64_t d = 0; d < bert->out_dim; d++) vector[d] += states[i * bert->dim + d];
    float squares = 0;
    for (int64_t d = 0; d < bert->out_dim; d++) squares += vector[d] * vector[d];
    for (int64_t d = 0; d < bert->out_dim; d++) vector[d] /= fmaxf(sqrtf(squares), 1e-12f);
}

static void *take(char **free_from, int64_t bytes) {
    void *taken = *free_from;
    *free_from += (bytes + 63) / 64 * 64;
    return taken;
}

/* Returns 0 where there is no memory. hidden is at least dim, dim at least out_dim; Python checks that, and the tokens. */
int ENCODE(const Bert *bert, const int32_t *tokens, int64_t n, float *vector) {
    int64_t dim = bert->dim, hidden = bert->hidden, padded = (n + 31) / 32 * 32, groups = padded * MAX_GROUPS;
    char *memory = malloc((n * (5 * dim + hidden) + 2 * groups + (WIDE_HEAD + TOGETHER) * padded) * sizeof(float) +
                          padded * hidden + 1024);
    if (memory == NULL) return 0;
    char *next = memory + (64 - (uintptr_t)memory % 64);
    float *states = take(&next, n * dim * sizeof(float)), *found = take(&next, n * dim * sizeof(float));
    float *attention = take(&next, 3 * n * dim * sizeof(float)), *inner = take(&next, n * hidden * sizeof(float));
    float *keys = take(&next, WIDE_HEAD * padded * sizeof(float)), *weights = take(&next, TOGETHER * padded * sizeof(float));
    Activations spare = {take(&next, padded * hidden), take(&next, groups * sizeof(float)), take(&next, groups * sizeof(int32_t))};

    for (int64_t i = 0; i < n; i++) {
        float *row = found + i * dim;
        for (int64_t d = 0; d < dim; d++) row[d] = bert->positions[i * dim + d] + bert->type[d];
        add_norm(states + i * dim, bert->words + tokens[i] * dim, row, &bert->norm, bert->epsilon, dim);
    }
    for (const Block *block = bert->blocks; block < bert->blocks + bert->n_blocks; block++) {
        apply(&block->attention, states, n, &spare, attention);
        attend_all(bert, attention, n, keys, weights, found);
        apply(&block->attended, found, n, &spare, attention);
        for (int64_t i = 0; i < n * dim; i += dim)
            add_norm(states + i, states + i, attention + i, &block->attended_norm, bert->epsilon, dim);
        apply(&block->inner, states, n, &spare, inner);
        gelu(inner, n * hidden);
        apply(&block->outer, inner, n, &spare, found);
        for (int64_t i = 0; i < n * dim; i += dim)
            add_norm(states + i, states + i, found + i, &block->outer_norm, bert->epsilon, dim);
    }
    pool(bert, states, n, vector);
    free(memory);
    return 1;
}
