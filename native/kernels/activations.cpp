// Softmax and GELU by 512-bit instructions: what takes time in the encoder once its products do not.
//
// Needs AVX-512.

#include <cmath>

#include "ggml-cpu-impl.h"
#include "lanes.h"
#include "vec.h"

namespace sprachpost {
namespace {

constexpr int64_t LANES = 16;

__mmask16 lanes_from(int64_t first, int64_t count) {
    return count - first >= LANES ? 0xffff : (1u << (count - first)) - 1;
}

} // namespace

void soft_max_row(const float * values, const float * mask, float scale, int64_t count, float * result) {
    const __m512 factor = _mm512_set1_ps(scale), lowest = _mm512_set1_ps(-INFINITY);
    __m512 highest = lowest;
    for (int64_t i = 0; i < count; i += LANES) {
        const __mmask16 lanes = lanes_from(i, count);
        __m512 scaled = _mm512_mul_ps(_mm512_maskz_loadu_ps(lanes, values + i), factor);
        if (mask) {
            scaled = _mm512_add_ps(scaled, _mm512_maskz_loadu_ps(lanes, mask + i));
        }
        _mm512_mask_storeu_ps(result + i, lanes, scaled);
        highest = _mm512_max_ps(highest, _mm512_mask_mov_ps(lowest, lanes, scaled));
    }
    const __m512 subtracted = _mm512_set1_ps(_mm512_reduce_max_ps(highest));
    __m512 sums = _mm512_setzero_ps();
    for (int64_t i = 0; i < count; i += LANES) {
        const __mmask16 lanes = lanes_from(i, count);
        const __m512 power = ggml_v_expf(_mm512_sub_ps(_mm512_maskz_loadu_ps(lanes, result + i), subtracted));
        _mm512_mask_storeu_ps(result + i, lanes, power);
        sums = _mm512_mask_add_ps(sums, lanes, sums, power);
    }
    const __m512 share = _mm512_set1_ps(1.0f / _mm512_reduce_add_ps(sums));
    for (int64_t i = 0; i < count; i += LANES) {
        const __mmask16 lanes = lanes_from(i, count);
        _mm512_mask_storeu_ps(result + i, lanes, _mm512_mul_ps(_mm512_maskz_loadu_ps(lanes, result + i), share));
    }
}

// x / (1 + exp(-2z)), which is ½x(1 + tanh z), with z = √(2/π)(x + 0.044715x³).
void gelu_row(const float * values, int64_t count, float * result) {
    const __m512 linear = _mm512_set1_ps(-2.0f * 0.79788456f), cubic = _mm512_set1_ps(-2.0f * 0.79788456f * 0.044715f);
    const __m512 one = _mm512_set1_ps(1.0f);
    for (int64_t i = 0; i < count; i += LANES) {
        const __mmask16 lanes = lanes_from(i, count);
        const __m512 x = _mm512_maskz_loadu_ps(lanes, values + i);
        const __m512 exponent = _mm512_mul_ps(x, _mm512_fmadd_ps(_mm512_mul_ps(x, x), cubic, linear));
        const __m512 gelu = _mm512_div_ps(x, _mm512_add_ps(one, ggml_v_expf(exponent)));
        _mm512_mask_storeu_ps(result + i, lanes, gelu);
    }
}

} // namespace sprachpost
