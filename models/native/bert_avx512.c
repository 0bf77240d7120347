/* BERT by AVX-512's int8 dot products (VNNI): Intel since Cascade Lake, AMD since Zen 4. */
#include "native.h"

#if defined(__x86_64__)
#include <immintrin.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#pragma clang attribute push(__attribute__((target("avx512f,avx512bw,avx512dq,avx512vl,avx512vnni"))), apply_to = function)
#define ENCODE recall_encode_avx512
#include "bert_body.h"
#include "bert_attention.h"

enum { ROWS = 6, COLUMNS = 4 }; /* of the result, and 16 to a column: with what they are made of they fill the registers */
_Static_assert(BERT_STEP % (16 * COLUMNS) == 0, "a layer's rows come in whole tiles");

/* `rows` rows of the result, of which 16 * COLUMNS columns. */
static inline __attribute__((always_inline)) void tile(const int rows, const PackedLayer *layer, const Activations *from,
                                                       int64_t row, int64_t column, float *to) {
    int64_t width = layer->width, group = layer->group, groups = width / group;
    __m512 totals[ROWS][COLUMNS];
    for (int r = 0; r < rows; r++)
        for (int c = 0; c < COLUMNS; c++) totals[r][c] = _mm512_setzero_ps();
    for (int64_t g = 0; g < groups; g++) {
        __m512i sums[ROWS][COLUMNS];
        for (int r = 0; r < rows; r++)
            for (int c = 0; c < COLUMNS; c++) sums[r][c] = _mm512_set1_epi32(-from->sums[(row + r) * groups + g]);
        const uint8_t *packed = layer->packed + column * width + g * group * 16;
        const int8_t *values = from->values + row * width + g * group;
        for (int64_t k = 0; k < group; k += 4) {
            __m512i weights[COLUMNS];
            for (int c = 0; c < COLUMNS; c++) weights[c] = _mm512_loadu_si512(packed + (c * width + k) * 16);
            for (int r = 0; r < rows; r++) {
                int32_t four;
                memcpy(&four, values + r * width + k, 4);
                for (int c = 0; c < COLUMNS; c++)
                    sums[r][c] = _mm512_dpbusd_epi32(sums[r][c], weights[c], _mm512_set1_epi32(four));
            }
        }
        for (int r = 0; r < rows; r++) {
            __m512 factor = _mm512_set1_ps(from->factors[(row + r) * groups + g]);
            for (int c = 0; c < COLUMNS; c++)
                totals[r][c] = _mm512_fmadd_ps(_mm512_cvtepi32_ps(sums[r][c]), factor, totals[r][c]);
        }
    }
    for (int c = 0; c < COLUMNS; c++) {
        __m512 factors = _mm512_loadu_ps(layer->factors + column + c * 16);
        __m512 bias = _mm512_loadu_ps(layer->bias + column + c * 16);
        for (int r = 0; r < rows; r++)
            _mm512_storeu_ps(to + (row + r) * layer->height + column + c * 16,
                             _mm512_fmadd_ps(totals[r][c], factors, bias));
    }
}

static void multiply(const PackedLayer *layer, const Activations *from, int64_t n, float *to) {
    for (int64_t column = 0; column < layer->height; column += 16 * COLUMNS) {
        int64_t row = 0;
        for (; row + ROWS <= n; row += ROWS) tile(ROWS, layer, from, row, column, to);
        switch (n - row) {
        case 5: tile(5, layer, from, row, column, to); break;
        case 4: tile(4, layer, from, row, column, to); break;
        case 3: tile(3, layer, from, row, column, to); break;
        case 2: tile(2, layer, from, row, column, to); break;
        case 1: tile(1, layer, from, row, column, to); break;
        }
    }
}
#pragma clang attribute pop

#endif
