// Softmax and GELU by 512-bit instructions: what takes time in the encoder once its products do not.
//
// The build gives ggml's own two functions the names `ggml_cpu_soft_max` and `ggml_cpu_unary`; these stand before them and hand
// on what is not of the usual kind.

#include <cstring>

#include "ggml-cpu-impl.h"
#include "ops.h"
#include "vec.h"

extern "C" void ggml_cpu_soft_max(const ggml_compute_params * params, ggml_tensor * dst);
extern "C" void ggml_cpu_unary(const ggml_compute_params * params, ggml_tensor * dst);

#if defined(__AVX512F__) && defined(__AVX512DQ__)

namespace {

constexpr int64_t LANES = 16;

__mmask16 lanes_from(int64_t first, int64_t count) {
    return count - first >= LANES ? 0xffff : (1u << (count - first)) - 1;
}

// `mask` is added to the scaled values, where there is one.
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

bool is_plain(const ggml_tensor * tensor) {
    return tensor->type == GGML_TYPE_F32 && ggml_is_contiguous(tensor);
}

float * row(const ggml_tensor * tensor, int64_t index) {
    return (float *) ((char *) tensor->data + index * tensor->nb[1]);
}

} // namespace

void ggml_compute_forward_soft_max(const ggml_compute_params * params, ggml_tensor * dst) {
    const ggml_tensor * values = dst->src[0], * mask = dst->src[1];
    float scale, bias;
    std::memcpy(&scale, (const float *) dst->op_params, sizeof(float));
    std::memcpy(&bias, (const float *) dst->op_params + 1, sizeof(float));
    const bool has_simple_mask = !mask || (is_plain(mask) && mask->ne[2] == 1 && mask->ne[3] == 1);
    if (!is_plain(values) || !is_plain(dst) || !has_simple_mask || bias != 0.0f || dst->src[2]) {
        ggml_cpu_soft_max(params, dst);
        return;
    }
    for (int64_t i = params->ith; i < ggml_nrows(values); i += params->nth) {
        const float * mask_row = mask ? row(mask, i % values->ne[1]) : nullptr;
        soft_max_row(row(values, i), mask_row, scale, values->ne[0], row(dst, i));
    }
}

void ggml_compute_forward_unary(const ggml_compute_params * params, ggml_tensor * dst) {
    const ggml_tensor * values = dst->src[0];
    if (ggml_get_unary_op(dst) != GGML_UNARY_OP_GELU || !is_plain(values) || !is_plain(dst)) {
        ggml_cpu_unary(params, dst);
        return;
    }
    for (int64_t i = params->ith; i < ggml_nrows(values); i += params->nth) {
        gelu_row(row(values, i), values->ne[0], row(dst, i));
    }
}

#else

void ggml_compute_forward_soft_max(const ggml_compute_params * params, ggml_tensor * dst) {
    ggml_cpu_soft_max(params, dst);
}

void ggml_compute_forward_unary(const ggml_compute_params * params, ggml_tensor * dst) {
    ggml_cpu_unary(params, dst);
}

#endif
