/* Which instructions compute BERT. */
#include "native.h"

int recall_encode_portable(const Bert *bert, const int32_t *tokens, int64_t n, float *vector);
int recall_encode_avx512(const Bert *bert, const int32_t *tokens, int64_t n, float *vector);
int recall_encode_amx(const Bert *bert, const int32_t *tokens, int64_t n, float *vector);
int recall_may_use_tiles(void);

/* Says whether the library has it, and the system allows it; whether the CPU has it is for Python to know. */
int recall_has_kernel(int kernel) {
#if defined(__x86_64__) && defined(__linux__)
    if (kernel == AMX) return recall_may_use_tiles();
#endif
#if defined(__x86_64__)
    if (kernel == AVX512) return 1;
#endif
    return kernel == PORTABLE;
}

int recall_encode(const Bert *bert, int kernel, const int32_t *tokens, int64_t n, float *vector) {
#if defined(__x86_64__) && defined(__linux__)
    if (kernel == AMX) return recall_encode_amx(bert, tokens, n, vector);
#endif
#if defined(__x86_64__)
    if (kernel == AVX512) return recall_encode_avx512(bert, tokens, n, vector);
#endif
    return recall_encode_portable(bert, tokens, n, vector);
}
