/* A text's vector by BERT in int8 (Sentence-BERT: arXiv:1908.10084). Each file that includes this one compiles it for
   some instructions, names what comes out ENCODE, and defines `multiply` and `attend`. Vectors of 16 floats are clang's extension:
   whatever registers there are hold them. */
#include <sched.h>

#include "bert_space.h"

enum { LANES = 16, SPINS = 1000 };
typedef float Lanes __attribute__((vector_size(64), aligned(4)));
typedef int32_t Ints __attribute__((vector_size(64), aligned(4)));
typedef int8_t Bytes __attribute__((vector_size(16), aligned(1)));

/* to = layer(from); rows of values may be read up to the next multiple of READ_ROWS. */
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
static void apply(const PackedLayer *layer, const float *from, int64_t n, const Activations *rounded, float *to) {
    int64_t groups = layer->width / layer->group;
    for (int64_t i = 0; i < n * groups; i++)
        round_group(from + i * layer->group, layer->group, rounded->values + i * layer->group, rounded->factors + i,
                    rounded->sums + i);
    multiply(layer, rounded, n, to);
}

/* The tokens that a part of the work is about, of n. */
typedef struct {
    int64_t from, to, n;
} Tokens;

/* Where a head's distances are 0, behind which a query's number is to be taken back; NULL where none count. */
static inline const float *distances_of(const Bert *bert, int64_t head) {
    return bert->distances ? bert->distances + head * bert->n_distances + bert->here : NULL;
}

/* to = what some tokens see of all. Of each token queries, keys and values lie side by side; `keys` and `weights` are
   room that nobody else has. */
static void attend(const Bert *bert, const float *attention, Tokens tokens, float *keys, float *weights, float *to);

static void pool(const Bert *bert, const float *states, int64_t n, float *vector) {
    memcpy(vector, states, bert->out_dim * sizeof *vector);
    for (int64_t i = 1; bert->is_mean && i < n; i++)
        for (int64_t d = 0; d < bert->out_dim; d++) vector[d] += states[i * bert->dim + d];
    float squares = 0;
    for (int64_t d = 0; d < bert->out_dim; d++) squares += vector[d] * vector[d];
    for (int64_t d = 0; d < bert->out_dim; d++) vector[d] /= fmaxf(sqrtf(squares), 1e-12f);
}

static void embed(const Bert *bert, const int32_t *tokens, Tokens some, Space *space) {
    int64_t dim = bert->dim, at = 0;
    for (int64_t i = 0; i < some.from; i++) at += tokens[i] != bert->padding;
    for (int64_t i = some.from; i < some.to; i++) {
        float *row = space->found + i * dim;
        const float *position = tokens[i] == bert->padding ? bert->padding_position : bert->positions + at++ * dim;
        for (int64_t d = 0; d < dim; d++) row[d] = position[d] + bert->type[d];
        add_norm(space->states + i * dim, bert->words + tokens[i] * dim, row, &bert->norm, bert->epsilon, dim);
    }
}

/* A block of some tokens, from the attention of all on, and their queries, keys and values in the next one. */
static void advance(const Bert *bert, int64_t number, Tokens some, int64_t part, Space *space) {
    int64_t dim = bert->dim, hidden = bert->hidden, n = some.to - some.from;
    const Activations *all_rows = &space->rounded;
    const Activations rounded = {all_rows->values + some.from * hidden, all_rows->factors + some.from * MAX_GROUPS,
                                 all_rows->sums + some.from * MAX_GROUPS};
    float *states = space->states + some.from * dim, *found = space->found + some.from * dim;
    float *inner = space->inner + some.from * hidden;
    if (number) {
        const Block *block = bert->blocks + number - 1;
        float *keys = space->keys + part * WIDE_HEAD * space->padded;
        float *weights = space->weights + part * QUERIES * space->padded;
        attend(bert, space->attention[number % 2], some, keys, weights, space->found);
        apply(&block->attended, found, n, &rounded, inner);
        for (int64_t i = 0; i < n * dim; i += dim)
            add_norm(states + i, states + i, inner + i, &block->attended_norm, bert->epsilon, dim);
        apply(&block->inner, states, n, &rounded, inner);
        gelu(inner, n * hidden);
        apply(&block->outer, inner, n, &rounded, found);
        for (int64_t i = 0; i < n * dim; i += dim)
            add_norm(states + i, states + i, found + i, &block->outer_norm, bert->epsilon, dim);
    }
    if (number < bert->n_blocks)
        apply(&bert->blocks[number].attention, states, n, &rounded,
              space->attention[(number + 1) % 2] + some.from * 3 * dim);
}

/* Waits until so much is done; not for long, unless a thread that does some of it has lost its core. */
static void wait_for(const Text *text, int64_t done) {
    for (int spins = 0; __atomic_load_n(&text->done, __ATOMIC_ACQUIRE) < done; spins++) {
        if (spins > SPINS) sched_yield();
#if defined(__x86_64__)
        else __builtin_ia32_pause();
#endif
    }
}

/* Encodes, together with whoever else is called with the same text meanwhile: each takes the next part of the work. A
   block begins when the one before is done. hidden is at least dim, dim at least out_dim; Python checks that, and the
   tokens. */
void ENCODE(Text *text) {
    const Bert *bert = text->bert;
    int64_t n = text->n, parts = text->parts, last = (bert->n_blocks + 1) * parts, work;
    Space space;
    lay_out(&space, bert, n, parts, (char *)(((uintptr_t)text->space + 63) / 64 * 64));
    while ((work = __atomic_fetch_add(&text->begun, 1, __ATOMIC_RELAXED)) <= last) {
        int64_t number = work / parts, part = work % parts;
        Tokens some = {part * n / parts, (part + 1) * n / parts, n};
        wait_for(text, number * parts);
        if (work == last) {
            pool(bert, space.states, n, text->vector);
        } else {
            if (number == 0) embed(bert, text->tokens, some, &space);
            advance(bert, number, some, part, &space);
        }
        __atomic_fetch_add(&text->done, 1, __ATOMIC_RELEASE);
    }
    wait_for(text, last + 1);
}
