/* BERT by whatever instructions there are: slow, and what the others are held against. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "native.h"

#define ENCODE recall_encode_portable
#include "bert_body.h"
#include "bert_attention.h"

static void multiply(const PackedLayer *layer, const Activations *from, int64_t n, float *to) {
    int64_t width = layer->width, groups = width / layer->group;
    for (int64_t at = 0; at < n * layer->height; at++) {
        int64_t i = at / layer->height, row = at % layer->height;
        const uint8_t *packed = layer->packed + row / 16 * 16 * width + row % 16 * 4;
        float total = 0;
        for (int64_t g = i * groups; g < (i + 1) * groups; g++) {
            int32_t sum = -from->sums[g];
            for (int64_t k = 0; k < layer->group; k++) {
                int64_t column = (g - i * groups) * layer->group + k;
                sum += from->values[i * width + column] * packed[column / 4 * 64 + column % 4];
            }
            total += sum * from->factors[g];
        }
        to[at] = total * layer->factors[row] + layer->bias[row];
    }
}
