// Functions of ggml that ours stand before: products, softmax and GELU.
//
// The build gives ggml's own the names `ggml_cpu_…`; what is not of the usual kind, or has no kernel on this processor,
// is handed on to them.

#include <cstring>

#define GGML_COMMON_DECL_CPP
#include "ggml-common.h"
#include "ggml-cpu-impl.h"
#include "ggml.h"
#include "kernels.h"
#include "llamafile/sgemm.h"
#include "ops.h"

using namespace sprachpost;

extern "C" bool ggml_cpu_sgemm(const ggml_compute_params * params, int64_t m, int64_t n, int64_t k, const void * A,
                               int64_t lda, const void * B, int64_t ldb, void * C, int64_t ldc, int Atype, int Btype,
                               int Ctype);
extern "C" void ggml_cpu_soft_max(const ggml_compute_params * params, ggml_tensor * dst);
extern "C" void ggml_cpu_unary(const ggml_compute_params * params, ggml_tensor * dst);

// ggml offers every product to this function first: C[n][m] = B[n][k] · A[m][k], with A the weights. There are two kinds:
//
// * many rows (the encoder). ggml has no kernel for tiles that whisper's sizes fit, and in registers it multiplies what
//   it is given: single precision, or eight bits at a time by their scales.
// * few rows with weights in half precision (the decoder's attention: one token, or one for each hypothesis).
static bool multiply(Share share, int64_t m, int64_t n, int64_t k, const void * A, int64_t lda, const void * B, int64_t ldb,
                     float * C, int64_t ldc, int Atype, int Btype) {
    const bool in_blocks = Atype == GGML_TYPE_Q8_0;
    const int64_t columns = in_blocks ? k * QK8_0 : k;
    const Matrix weights = { A, lda, columns, Atype }, rows = { B, ldb, columns, Btype };
    if (n >= Kernels::MANY_ROWS_MIN) {
        const bool fits = m >= Kernels::WEIGHTS_MIN && weights.is_readable() && rows.is_readable() &&
                          (Btype != GGML_TYPE_Q8_0 || in_blocks);
        if (!fits || !kernels().multiply_many) {
            return false;
        }
        kernels().multiply_many(share, weights, m, rows, n, C, ldc);
        return true;
    }
    const bool are_rows_plain = Btype == GGML_TYPE_F32 || Btype == GGML_TYPE_F16;
    if (Atype == GGML_TYPE_F16 && are_rows_plain && kernels().multiply_few_halves) {
        kernels().multiply_few_halves(share, (const uint16_t *) A, lda, m, rows, n, C, ldc);
        return true;
    }
    return false;
}

extern "C" bool llamafile_sgemm(const ggml_compute_params * params, int64_t m, int64_t n, int64_t k, const void * A,
                                int64_t lda, const void * B, int64_t ldb, void * C, int64_t ldc, int Atype, int Btype,
                                int Ctype) {
    const Share share = { params->ith, params->nth };
    return (Ctype == GGML_TYPE_F32 && multiply(share, m, n, k, A, lda, B, ldb, (float *) C, ldc, Atype, Btype)) ||
           ggml_cpu_sgemm(params, m, n, k, A, lda, B, ldb, C, ldc, Atype, Btype, Ctype);
}

static bool is_plain(const ggml_tensor * tensor) {
    return tensor->type == GGML_TYPE_F32 && ggml_is_contiguous(tensor);
}

static float * row(const ggml_tensor * tensor, int64_t index) {
    return (float *) ((char *) tensor->data + index * tensor->nb[1]);
}

void ggml_compute_forward_soft_max(const ggml_compute_params * params, ggml_tensor * dst) {
    const ggml_tensor * values = dst->src[0], * mask = dst->src[1];
    float scale, bias;
    std::memcpy(&scale, (const float *) dst->op_params, sizeof(float));
    std::memcpy(&bias, (const float *) dst->op_params + 1, sizeof(float));
    const bool has_simple_mask = !mask || (is_plain(mask) && mask->ne[2] == 1 && mask->ne[3] == 1);
    const bool is_usual = is_plain(values) && is_plain(dst) && has_simple_mask && bias == 0.0f && !dst->src[2];
    if (!is_usual || !kernels().soft_max_row) {
        ggml_cpu_soft_max(params, dst);
        return;
    }
    for (int64_t i = params->ith; i < ggml_nrows(values); i += params->nth) {
        const float * mask_row = mask ? row(mask, i % values->ne[1]) : nullptr;
        kernels().soft_max_row(row(values, i), mask_row, scale, values->ne[0], row(dst, i));
    }
}

void ggml_compute_forward_unary(const ggml_compute_params * params, ggml_tensor * dst) {
    const ggml_tensor * values = dst->src[0];
    const bool is_usual = ggml_get_unary_op(dst) == GGML_UNARY_OP_GELU && is_plain(values) && is_plain(dst);
    if (!is_usual || !kernels().gelu_row) {
        ggml_cpu_unary(params, dst);
        return;
    }
    for (int64_t i = params->ith; i < ggml_nrows(values); i += params->nth) {
        kernels().gelu_row(row(values, i), values->ne[0], row(dst, i));
    }
}
