/* What a softmax's cross-entropy says of the logits, a row at a time: torch goes through all of them five times. */
#include "native.h"
#include "vectors.h"

static inline float of_bfloat16(uint16_t value) {
    uint32_t bits = (uint32_t)value << 16;
    float found;
    memcpy(&found, &bits, 4);
    return found;
}

/* Rounded to even; what is no number stays none. */
static inline uint16_t to_bfloat16(float value) {
    uint32_t bits;
    memcpy(&bits, &value, 4);
    return value == value ? (bits + 0x7fff + (bits >> 16 & 1)) >> 16 : 0x7fc0;
}

/* Rising order of floats as that of integers, whose largest is found in wide registers; it is its own inverse. */
static inline int32_t rising(int32_t bits) { return bits ^ (bits >> 31 & 0x7fffffff); }

enum { NEXT_TO_NOTHING = -70 };

/* e^x of x <= 0: 2^n by a polynomial of the rest (Moshier, Cephes' expf). What is next to nothing is nothing: shares of it
   would be no normal numbers, which take the CPU ten times as long. */
static inline float exponential(float x) {
    int is_nothing = x < NEXT_TO_NOTHING;
    x = is_nothing ? 0 : x;
    float n = rintf(x * 1.44269504f), rest = x - n * 0.693359375f + n * 2.12194440e-4f;
    float sum = 1.9875691500e-4f;
    sum = sum * rest + 1.3981999507e-3f, sum = sum * rest + 8.3334519073e-3f, sum = sum * rest + 4.1665795894e-2f;
    sum = sum * rest + 1.6666665459e-1f, sum = sum * rest + 5.0000001201e-1f;
    int32_t bits = ((int32_t)n + 127) << 23;
    float power;
    memcpy(&power, &bits, 4);
    return is_nothing ? 0 : (sum * rest * rest + rest + 1) * power;
}

void recall_softmax(const Softmax *softmax) {
    int64_t n = softmax->n_items;
    const float *restrict bias = softmax->bias;
    float *restrict values = softmax->values, *restrict of_bias = softmax->of_bias;
    for (int64_t question = 0; question < softmax->n_questions; question++) {
        uint16_t *restrict row = softmax->logits + question * n;
        const int64_t *target = softmax->target;
        int64_t start = softmax->first[question], end = softmax->first[question + 1];
        int32_t key = INT32_MIN;
        for (int64_t i = 0; i < n; i++) {
            int32_t bits;
            values[i] = of_bfloat16(row[i]) + bias[i];
            memcpy(&bits, values + i, 4);
            key = rising(bits) > key ? rising(bits) : key;
        }
        float top, sum = 0;
        key = rising(key);
        memcpy(&top, &key, 4);
        for (int64_t i = start; i < end; i++) softmax->likelihood[i] = values[target[i]] - top;
        for (int64_t i = 0; i < n; i++) sum += values[i] = exponential(values[i] - top);
        float share = softmax->share[question] / sum, log_sum = logf(sum);
        for (int64_t i = 0; i < n; i++) {
            values[i] *= share;
            of_bias[i] += values[i];
            row[i] = to_bfloat16(values[i]);
        }
        for (int64_t i = start; i < end; i++) {
            softmax->likelihood[i] -= log_sum;
            values[target[i]] -= softmax->weight[i], of_bias[target[i]] -= softmax->weight[i];
            row[target[i]] = to_bfloat16(values[target[i]]);
        }
    }
}
