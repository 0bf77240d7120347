/* Which instructions compute BERT. */
#include <stddef.h>

#include "native.h"

typedef int Encode(const Bert *bert, const int32_t *tokens, int64_t n, float *vector);
Encode recall_encode_portable, recall_encode_avx512, recall_encode_amx;
int recall_may_use_tiles(void);

static Encode *const KERNELS[] = {
    [PORTABLE] = recall_encode_portable,
#if defined(__x86_64__)
    [AVX512] = recall_encode_avx512,
#if defined(__linux__)
    [AMX] = recall_encode_amx,
#endif
#endif
};

/* Says whether the library has it, and the system allows it; whether the CPU has it is for Python to know. */
int recall_has_kernel(int kernel) {
    if (kernel >= (int)(sizeof KERNELS / sizeof *KERNELS) || KERNELS[kernel] == NULL) return 0;
#if defined(__x86_64__) && defined(__linux__)
    if (kernel == AMX) return recall_may_use_tiles();
#endif
    return 1;
}

void recall_encode(Text *text) {
    text->is_encoded = KERNELS[text->kernel](text->bert, text->tokens, text->n, text->vector);
}
