/* BERT by AMX's tiles of int8: Intel since Sapphire Rapids. Linux hands out the tiles on request. */
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

#pragma clang attribute push(__attribute__((target("avx512f,avx512bw,avx512dq,avx512vl,avx512vnni,amx-tile,amx-int8"))), apply_to = function)
#define ENCODE recall_encode_amx
#include "bert_body.h"

enum { PAGE = 4096, SIDE = 16, DEPTH = 64 }; /* a tile of the result is 16 by 16, made 64 inner products' steps at a time */
_Static_assert(BERT_STEP % DEPTH == 0 && BERT_STEP % (2 * SIDE) == 0, "layers come in whole tiles");
typedef int32_t Tile[SIDE][SIDE];

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
#pragma clang attribute pop

#endif
