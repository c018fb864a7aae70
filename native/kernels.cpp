// Which of the kernels this processor can run, found out once.

#include "kernels.h"

namespace sprachpost {

static Kernels available() {
    Kernels all = {};
#if defined(SPRACHPOST_KERNELS)
    __builtin_cpu_init();
    const bool has_eight_bit = __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
                               __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl") &&
                               __builtin_cpu_supports("avx512vnni") && __builtin_cpu_supports("fma");
    if (has_eight_bit) {
        all.multiply_few_halves = sprachpost::multiply_few_halves;
        all.soft_max_row = sprachpost::soft_max_row;
        all.gelu_row = sprachpost::gelu_row;
        all.interleave = sprachpost::interleave;
        all.products = sprachpost::products;
        all.split = sprachpost::split;
        all.scores = sprachpost::scores;
        all.rows = sprachpost::rows;
    }
    if (has_eight_bit && __builtin_cpu_supports("avx512bf16")) {
        all.multiply_many = sprachpost::multiply_many;
        all.attend = sprachpost::attend;
    }
#endif
    return all;
}

const Kernels & kernels() {
    static const Kernels all = available();
    return all;
}

} // namespace sprachpost
