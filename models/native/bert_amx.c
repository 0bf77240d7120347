/* BERT by AMX's tiles, of int8 in layers and of bfloat16 in attention: Intel since Sapphire Rapids. Linux hands out the
   tiles on request. */
#define _DEFAULT_SOURCE /* syscall */
#include "native.h"

#if defined(__x86_64__) && defined(__linux__)
#include <immintrin.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

/* Of this process and its threads, for good; see Linux' Documentation/arch/x86/xstate.rst. */
int recall_may_use_tiles(void) {
    enum { ARCH_REQ_XCOMP_PERM = 0x1023, TILE_DATA = 18 };
    return syscall(SYS_arch_prctl, ARCH_REQ_XCOMP_PERM, TILE_DATA) == 0;
}

#pragma clang attribute push(__attribute__((target("avx512f,avx512bw,avx512dq,avx512vl,avx512vnni,amx-tile,amx-int8,amx-bf16,avx512bf16"))), apply_to = function)
#define ENCODE recall_encode_amx
#include "bert_body.h"

enum { PAGE = 4096, SIDE = 16, DEPTH = 64 }; /* a tile of the result is 16 by 16, made 64 inner products' steps at a time */
_Static_assert(BERT_STEP % DEPTH == 0 && BERT_STEP % (2 * SIDE) == 0, "layers come in whole tiles");
typedef int32_t Tile[SIDE][SIDE];

/* Attention's tiles: what is read has 16 rows of PAIRS pairs of bfloat16; a product's right side has a row a pair. */
enum { PAIRS = 16, STEP = 2 * PAIRS };
typedef uint32_t Pairs[SIDE][PAIRS];
_Static_assert(QUERIES == SIDE && NARROW_HEAD == STEP && WIDE_HEAD == 2 * STEP && READ_ROWS == STEP, "as tiles are cut");

static void make_tiles(void) {
    struct {
        uint8_t palette, start_row, reserved[14];
        uint16_t bytes[16];
        uint8_t rows[16];
    } shape = {.palette = 1};
    for (int tile = 0; tile < 8; tile++) shape.bytes[tile] = DEPTH, shape.rows[tile] = SIDE;
    _tile_loadconfig(&shape);
}

/* Two by two tiles of inner products of one group, or one by two. */
static inline void multiply_tiles(const int8_t *values, const uint8_t *packed, int64_t width, int64_t group, int is_two,
                                  Tile *sums) {
    const int8_t *below = values + SIDE * width;
    const uint8_t *right = packed + SIDE * width;
    _tile_zero(0), _tile_zero(1), _tile_zero(2), _tile_zero(3);
    for (int64_t k = 0; k < group; k += DEPTH) {
        for (int line = 0; line < 128; line += 64) { /* the CPU fetches the rest of a page once it has been asked for a bit */
            _mm_prefetch((const char *)packed + k * 16 + PAGE + line, _MM_HINT_T1);
            _mm_prefetch((const char *)right + k * 16 + PAGE + line, _MM_HINT_T1);
        }
        _tile_loadd(4, values + k, width);
        _tile_loadd(6, packed + k * 16, DEPTH);
        _tile_dpbsud(0, 4, 6);
        _tile_loadd(7, right + k * 16, DEPTH);
        _tile_dpbsud(1, 4, 7);
        if (!is_two) continue;
        _tile_loadd(5, below + k, width);
        _tile_dpbsud(2, 5, 6);
        _tile_dpbsud(3, 5, 7);
    }
    _tile_stored(0, sums[0], DEPTH);
    _tile_stored(1, sums[1], DEPTH);
    if (!is_two) return;
    _tile_stored(2, sums[2], DEPTH);
    _tile_stored(3, sums[3], DEPTH);
}

static void multiply(const PackedLayer *layer, const Activations *from, int64_t n, float *to) {
    int64_t width = layer->width, group = layer->group, groups = width / group;
    Tile sums[MAX_GROUPS][4] __attribute__((aligned(64)));
    make_tiles();
    for (int64_t column = 0; column < layer->height; column += 2 * SIDE) {
        const uint8_t *packed = layer->packed + column * width;
        Lanes factors[2] = {load(layer->factors + column), load(layer->factors + column + SIDE)};
        Lanes bias[2] = {load(layer->bias + column), load(layer->bias + column + SIDE)};
        for (int64_t row = 0; row < n; row += 2 * SIDE) {
            for (int64_t g = 0; g < groups; g++)
                multiply_tiles(from->values + row * width + g * group, packed + g * group * 16, width, group,
                               row + SIDE < n, sums[g]);
            for (int64_t i = row; i < n && i < row + 2 * SIDE; i++) {
                Lanes totals[2] = {0};
                for (int64_t g = 0; g < groups; g++) {
                    float factor = from->factors[i * groups + g];
                    int32_t sum = from->sums[i * groups + g];
                    Tile *found = sums[g] + (i - row) / SIDE * 2;
                    for (int c = 0; c < 2; c++) {
                        Ints exact = *(const Ints *)found[c][(i - row) % SIDE] - sum;
                        totals[c] += __builtin_convertvector(exact, Lanes) * factor;
                    }
                }
                for (int c = 0; c < 2; c++)
                    store(to + i * layer->height + column + c * SIDE, totals[c] * factors[c] + bias[c]);
            }
        }
    }
    _tile_release();
}
static inline __m512i two_rows(const float *a, const float *b) { /* pairs of one of each */
    __m512i low = _mm512_cvtepu16_epi32((__m256i)_mm512_cvtneps_pbh(_mm512_loadu_ps(a)));
    __m512i high = _mm512_cvtepu16_epi32((__m256i)_mm512_cvtneps_pbh(_mm512_loadu_ps(b)));
    return _mm512_or_si512(low, _mm512_slli_epi32(high, 16));
}

static inline __m512i neighbours(const float *row) { /* pairs of 32 numbers in a row */
    return (__m512i)_mm512_cvtne2ps_pbh(_mm512_loadu_ps(row + LANES), _mm512_loadu_ps(row));
}

/* Of each 16 keys, as a product's right side: `steps` tiles, zeros where there is no key. */
static void lay_keys(const float *k, int64_t stride, int64_t n, int64_t padded, int steps, Pairs *keys) {
    for (int64_t j = 0; j < padded; j++)
        for (int step = 0; step < steps; step++) {
            uint32_t pairs[PAIRS] = {0};
            if (j < n) _mm512_storeu_si512(pairs, neighbours(k + j * stride + step * STEP));
            for (int pair = 0; pair < PAIRS; pair++) keys[j / SIDE * steps + step][pair][j % SIDE] = pairs[pair];
        }
}

/* Of each 32 values, likewise: `columns` tiles of 16 dimensions. */
static void lay_values(const float *v, int64_t stride, int64_t n, int64_t padded, int columns, Pairs *values) {
    static const float none[LANES];
    for (int64_t j = 0; j < padded; j += 2)
        for (int column = 0; column < columns; column++) {
            const float *first = v + j * stride + column * LANES;
            __m512i pairs = two_rows(j < n ? first : none, j + 1 < n ? first + stride : none);
            _mm512_storeu_si512(values[j / STEP * columns + column][j % STEP / 2], pairs);
        }
}

/* 2^x for x <= 0, as exact as bfloat16 can tell. */
static inline __m512 power(__m512 x) {
    __m512 whole = _mm512_roundscale_ps(x, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC), rest = _mm512_sub_ps(x, whole);
    __m512 sum = _mm512_fmadd_ps(_mm512_set1_ps(.0558f), rest, _mm512_set1_ps(.2402f));
    sum = _mm512_fmadd_ps(sum, rest, _mm512_set1_ps(.6931f));
    return _mm512_scalef_ps(_mm512_fmadd_ps(sum, rest, _mm512_set1_ps(1)), whole);
}

/* Which of 16 are among the first n. */
static inline __mmask16 among(int64_t from, int64_t n) {
    return from + LANES <= n ? 0xffff : from < n ? (1 << (n - from)) - 1 : 0;
}

/* weights = e^(scale * score + distance, less the row's largest) in bfloat16, over the scores themselves; totals = their
   sums. `near` is where the first row's distances are, each later row's begin one before; or NULL. */
static void weigh(float *scores, int64_t rows, int64_t n, int64_t padded, float scale, const float *near, float *totals) {
    for (int r = 0; r < rows; r++) {
        float *row = scores + r * padded;
        for (int64_t j = 0; near && j < padded; j += LANES)
            store(row + j, load(row + j) * scale + load(near - r + j));
        __m512 top = _mm512_set1_ps(-INFINITY), total = _mm512_setzero_ps();
        /* Masked, not overwritten behind the last: a wide load waits long for what narrower stores have just changed. */
        for (int64_t j = 0; j < n; j += LANES) top = _mm512_mask_max_ps(top, among(j, n), top, _mm512_loadu_ps(row + j));
        __m512 most = _mm512_set1_ps(largest_of((Lanes)top)), factor = _mm512_set1_ps((near ? 1 : scale) * 1.44269504f);
        __m512 two[2];
        for (int64_t j = 0; j < padded; j += STEP) {
            for (int side = 0; side < 2; side++) {
                int64_t at = j + side * LANES;
                __m512 below = _mm512_mul_ps(_mm512_sub_ps(_mm512_loadu_ps(row + at), most), factor);
                two[side] = _mm512_maskz_mov_ps(among(at, n), power(below));
                total = _mm512_add_ps(total, two[side]);
            }
            _mm512_storeu_si512((char *)row + 2 * j, (__m512i)_mm512_cvtne2ps_pbh(two[1], two[0]));
        }
        totals[r] = sum_of((Lanes)total);
    }
}

static void attend(const Bert *bert, const float *attention, Tokens tokens, float *keys, float *weights, float *to) {
    int64_t dim = bert->dim, size = dim / bert->heads, stride = 3 * dim, n = tokens.n;
    int64_t padded = (n + STEP - 1) / STEP * STEP;
    int steps = size / STEP, columns = size / SIDE;
    Pairs *laid_keys = (Pairs *)keys, *laid_values = laid_keys + padded / SIDE * steps;
    make_tiles();
    for (int64_t head = 0; head < dim; head += size) {
        const float *here = distances_of(bert, head / size);
        lay_keys(attention + dim + head, stride, n, padded, steps, laid_keys);
        lay_values(attention + 2 * dim + head, stride, n, padded, columns, laid_values);
        for (int64_t i = tokens.from; i < tokens.to; i += QUERIES) {
            int64_t rows = tokens.to - i < QUERIES ? tokens.to - i : QUERIES;
            Pairs asked[WIDE_HEAD / STEP] __attribute__((aligned(64)));
            float found[WIDE_HEAD / SIDE][SIDE][SIDE] __attribute__((aligned(64))), totals[QUERIES];
            for (int64_t r = 0; r < QUERIES; r++)
                for (int step = 0; step < steps; step++)
                    _mm512_store_si512(asked[step][r], neighbours(attention + (i + (r < rows ? r : rows - 1)) * stride +
                                                                  head + step * STEP));
            _tile_loadd(4, asked[0], DEPTH);
            if (steps == 2) _tile_loadd(5, asked[1], DEPTH);
            for (int64_t j = 0; j < padded; j += 2 * SIDE) {
                Pairs *block = laid_keys + j / SIDE * steps;
                _tile_zero(0), _tile_zero(1);
                _tile_loadd(6, block[0], DEPTH), _tile_loadd(7, block[steps], DEPTH);
                _tile_dpbf16ps(0, 4, 6), _tile_dpbf16ps(1, 4, 7);
                if (steps == 2) {
                    _tile_loadd(6, block[1], DEPTH), _tile_loadd(7, block[3], DEPTH);
                    _tile_dpbf16ps(0, 5, 6), _tile_dpbf16ps(1, 5, 7);
                }
                _tile_stored(0, weights + j, padded * sizeof(float));
                _tile_stored(1, weights + j + SIDE, padded * sizeof(float));
            }
            weigh(weights, rows, n, padded, 1 / sqrtf(size), here ? here - i : NULL, totals);
            _tile_zero(0), _tile_zero(1), _tile_zero(2), _tile_zero(3);
            for (int64_t j = 0; j < padded; j += STEP) {
                Pairs *block = laid_values + j / STEP * columns;
                _tile_loadd(4, (char *)weights + 2 * j, padded * sizeof(float));
                _tile_loadd(6, block[0], DEPTH), _tile_loadd(7, block[1], DEPTH);
                _tile_dpbf16ps(0, 4, 6), _tile_dpbf16ps(1, 4, 7);
                if (columns == 2) continue;
                _tile_loadd(6, block[2], DEPTH), _tile_loadd(7, block[3], DEPTH);
                _tile_dpbf16ps(2, 4, 6), _tile_dpbf16ps(3, 4, 7);
            }
            _tile_stored(0, found[0], DEPTH), _tile_stored(1, found[1], DEPTH);
            if (columns == 4) _tile_stored(2, found[2], DEPTH), _tile_stored(3, found[3], DEPTH);
            for (int64_t r = 0; r < rows; r++)
                for (int column = 0; column < columns; column++)
                    store(to + (i + r) * dim + head + column * SIDE, load(found[column][r]) / totals[r]);
        }
    }
    _tile_release();
}
#pragma clang attribute pop

#endif
