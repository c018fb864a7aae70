// Matrix products for speech recognition, on processors with 512 bits that multiply bfloat16 (AVX-512 BF16, AMX).
//
// ggml offers every product to `llamafile_sgemm` first. The build gives ggml's own function of that name the name
// `ggml_cpu_sgemm`, and this one stands before it. It takes two kinds of product:
//
// * many rows (the encoder, and attention within it): both sides are rounded to bfloat16 as they are read, whatever
//   their type, and multiplied in tiles or registers. ggml has no kernel for tiles that whisper's sizes fit, and in
//   registers it multiplies what it is given: single precision, or eight bits at a time by their scales.
// * few rows (the decoder: one token, or one for each hypothesis) by eight-bit weights: bound by reading the weights,
//   so they are read once for all rows, in the order in which they lie.
//
// Everything else is ggml's. C, as ggml sees it: C[n][m] = B[n][k] · A[m][k], with A the weights.

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <vector>

#include "ggml-cpu-impl.h"
#include "ggml.h"
#include "lanes.h"
#include "llamafile/sgemm.h"
#include "tiles.h"

extern "C" bool ggml_cpu_sgemm(const ggml_compute_params * params, int64_t m, int64_t n, int64_t k, const void * A,
                           int64_t lda, const void * B, int64_t ldb, void * C, int64_t ldc, int Atype, int Btype,
                           int Ctype);

#if defined(SPRACHPOST_BFLOAT16)

namespace {

// Weights are packed in portions that stay in the second-level cache while all rows pass by: 1 MiB.
constexpr int64_t PORTION_VALUES = 1 << 19;
// Below this many rows, blocks would stay empty.
constexpr int64_t MANY_ROWS_MIN = 16;
// Weights are asked for this far ahead: the processor's own guess ends with every page.
constexpr int64_t PREFETCH_BYTES = 4096;

// Added to eight-bit weights, by flipping their sign, so that they have none.
constexpr int SIGN_OFFSET = 128;

void multiply_many(const ggml_compute_params * params, const Matrix & weights, int64_t m, const Matrix & rows,
                    int64_t n, float * C, int64_t ldc) {
    static thread_local std::vector<Lanes> packed_memory, panel_memory;
    const int64_t depth = round_up(weights.columns, DEPTH);
    const int64_t portion = std::min(std::max(PORTION_VALUES / depth / BLOCK, int64_t(1)) * BLOCK, round_up(m, BLOCK));
    bf16 * packed = buffer(packed_memory, portion * depth);
    bf16 * panel = buffer(panel_memory, BLOCK * depth);
    const Tiles tiles;
    for (int64_t first = 0; first < m; first += portion) {
        const int64_t end = std::min(first + portion, round_up(m, BLOCK));
        pack_weights(weights, first, end, m, depth, packed);
        for (int64_t j = params->ith * BLOCK; j < n; j += params->nth * BLOCK) {
            const int64_t rows_here = std::min(BLOCK, n - j);
            read_panel(rows, j, rows_here, depth, panel);
            for (int64_t i = first; i < std::min(end, m); i += BLOCK) {
                const bf16 * part = packed + (i - first) * depth;
                const int64_t columns_here = std::min(BLOCK, m - i);
                float * sums = C + j * ldc + i;
                if (rows_here == BLOCK && columns_here == BLOCK) {
                    multiply_block(panel, part, depth, sums, ldc);
                    continue;
                }
                alignas(64) float whole[BLOCK * BLOCK];
                multiply_block(panel, part, depth, whole, BLOCK);
                for (int64_t row = 0; row < rows_here; row++) {
                    std::memcpy(sums + row * ldc, whole + row * BLOCK, columns_here * sizeof(float));
                }
            }
        }
    }
}

// Products of a few rows with eight-bit weights, ROWS rows at a time.
template <int ROWS>
void multiply_few(const block_q8_0 * weights, int64_t lda, int64_t first, int64_t end, int64_t blocks,
                  const EightBitRows & values, float * C, int64_t ldc) {
    const __m512i sign = _mm512_set1_epi8((char) SIGN_OFFSET);
    const __m512i offsets = _mm512_mullo_epi32(
        _mm512_set_epi32(15, 14, 13, 12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0), _mm512_set1_epi32(sizeof(block_q8_0)));
    const __m512i halves = _mm512_set_epi32(1, 1, 1, 1, 1, 1, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0);
    for (int64_t i = first; i < end; i++) {
        const block_q8_0 * row = weights + i * lda;
        __m512 sums[ROWS];
        for (int r = 0; r < ROWS; r++) {
            sums[r] = _mm512_setzero_ps();
        }
        for (int64_t b = 0; b < blocks; b += 16) {
            // The scales of 16 blocks; each is the first two bytes of its block.
            const __m512i words = _mm512_i32gather_epi32(offsets, (const int *) (row + b), 1);
            const __m512 weight_scales = _mm512_cvtph_ps(_mm512_cvtepi32_epi16(words));
            __m512 both[ROWS];
            for (int r = 0; r < ROWS; r++) {
                both[r] = _mm512_mul_ps(weight_scales, _mm512_loadu_ps(values.scales.data() + r * blocks + b));
            }
            for (int64_t pair = 0; pair < 8; pair++) {
                const block_q8_0 * two = row + b + 2 * pair;
                _mm_prefetch((const char *) two + PREFETCH_BYTES, _MM_HINT_T1);
                const __m256i low = _mm256_loadu_si256((const __m256i *) two[0].qs);
                const __m256i high = _mm256_loadu_si256((const __m256i *) two[1].qs);
                const __m512i unsigned_weights =
                    _mm512_xor_si512(_mm512_inserti64x4(_mm512_castsi256_si512(low), high, 1), sign);
                const __m512i which = _mm512_add_epi32(halves, _mm512_set1_epi32(2 * pair));
                for (int r = 0; r < ROWS; r++) {
                    const int64_t at = (r * blocks + b) / 2 + pair;
                    const __m512i product = _mm512_dpbusd_epi32(values.corrections[at], unsigned_weights, values.values[at]);
                    sums[r] =
                        _mm512_fmadd_ps(_mm512_cvtepi32_ps(product), _mm512_permutexvar_ps(which, both[r]), sums[r]);
                }
            }
        }
        float results[16];
        _mm512_storeu_ps(results, add_up(sums));
        for (int r = 0; r < ROWS; r++) {
            C[r * ldc + i] = results[r];
        }
    }
}

__m512 read_values(const float * values, __mmask16 lanes) {
    return _mm512_maskz_loadu_ps(lanes, values);
}

__m512 read_values(const uint16_t * halves, __mmask16 lanes) {
    return _mm512_cvtph_ps(_mm256_maskz_loadu_epi16(lanes, halves));
}

// Products of a few rows with weights in half precision: attention to what was said, and to the audio. 16 rows of weights
// at a time share the work of adding up lanes.
template <typename Value>
void multiply_few_halves(const ggml_compute_params * params, const uint16_t * weights, int64_t lda, int64_t m,
                         int64_t k, const Value * rows, int64_t ldb, int64_t n, float * C, int64_t ldc) {
    constexpr int64_t AT_A_TIME = 16;
    const int64_t share = round_up((m + params->nth - 1) / params->nth, AT_A_TIME);
    const int64_t end = std::min(m, (params->ith + 1) * share);
    for (int64_t i = params->ith * share; i < end; i += AT_A_TIME) {
        const int64_t rows_here = std::min(AT_A_TIME, end - i);
        for (int64_t j = 0; j < n; j++) {
            __m512 sums[AT_A_TIME] = {};
            for (int64_t column = 0; column < k; column += 16) {
                const __mmask16 lanes = k - column >= 16 ? 0xffff : (1u << (k - column)) - 1;
                const __m512 values = read_values(rows + j * ldb + column, lanes);
                for (int64_t r = 0; r < AT_A_TIME; r++) {
                    // Behind the last row its own values are read again, and not written.
                    const uint16_t * halves = weights + (i + std::min(r, rows_here - 1)) * lda + column;
                    sums[r] = _mm512_fmadd_ps(read_values(halves, lanes), values, sums[r]);
                }
            }
            _mm512_mask_storeu_ps(C + j * ldc + i, (__mmask16) ((1u << rows_here) - 1), add_up(sums));
        }
    }
}

using MultiplyFew = void (*)(const block_q8_0 *, int64_t, int64_t, int64_t, int64_t, const EightBitRows &, float *,
                             int64_t);
constexpr int64_t FEW_ROWS_MAX = 6;
constexpr MultiplyFew MULTIPLY_FEW[FEW_ROWS_MAX] = { multiply_few<1>, multiply_few<2>, multiply_few<3>,
                                                     multiply_few<4>, multiply_few<5>, multiply_few<6> };

void multiply_few_rows(const ggml_compute_params * params, const block_q8_0 * weights, int64_t lda, int64_t m,
                       int64_t blocks, const block_q8_0 * rows, int64_t ldb, int64_t n, float * C, int64_t ldc) {
    static thread_local EightBitRows values;
    const int64_t share = (m + params->nth - 1) / params->nth;
    const int64_t first = std::min(m, params->ith * share), end = std::min(m, first + share);
    for (int64_t j = 0; j < n; j += FEW_ROWS_MAX) {
        const int64_t count = std::min(FEW_ROWS_MAX, n - j);
        values.take(rows + j * ldb, ldb, count, blocks);
        values.correct_for(SIGN_OFFSET);
        MULTIPLY_FEW[count - 1](weights, lda, first, end, blocks, values, C + j * ldc, ldc);
    }
}

} // namespace

extern "C" bool llamafile_sgemm(const ggml_compute_params * params, int64_t m, int64_t n, int64_t k, const void * A,
                                int64_t lda, const void * B, int64_t ldb, void * C, int64_t ldc, int Atype, int Btype,
                                int Ctype) {
    const bool is_blocked = Atype == GGML_TYPE_Q8_0;
    if (Ctype == GGML_TYPE_F32 && n >= MANY_ROWS_MIN && m >= BLOCK && Matrix::is_readable(Atype) &&
        Matrix::is_readable(Btype) && (Btype != GGML_TYPE_Q8_0 || is_blocked)) {
        const int64_t columns = is_blocked ? k * QK8_0 : k;
        multiply_many(params, { A, lda, columns, Atype }, m, { B, ldb, columns, Btype }, n, (float *) C, ldc);
        return true;
    }
    if (Ctype == GGML_TYPE_F32 && is_blocked && Btype == GGML_TYPE_Q8_0 && n < MANY_ROWS_MIN && k % 16 == 0) {
        multiply_few_rows(params, (const block_q8_0 *) A, lda, m, k, (const block_q8_0 *) B, ldb, n, (float *) C, ldc);
        return true;
    }
    if (Ctype == GGML_TYPE_F32 && Atype == GGML_TYPE_F16 && n < MANY_ROWS_MIN) {
        const uint16_t * halves = (const uint16_t *) A;
        if (Btype == GGML_TYPE_F32) {
            multiply_few_halves(params, halves, lda, m, k, (const float *) B, ldb, n, (float *) C, ldc);
            return true;
        }
        if (Btype == GGML_TYPE_F16) {
            multiply_few_halves(params, halves, lda, m, k, (const uint16_t *) B, ldb, n, (float *) C, ldc);
            return true;
        }
    }
    return ggml_cpu_sgemm(params, m, n, k, A, lda, B, ldb, C, ldc, Atype, Btype, Ctype);
}

#else

extern "C" bool llamafile_sgemm(const ggml_compute_params * params, int64_t m, int64_t n, int64_t k, const void * A,
                                int64_t lda, const void * B, int64_t ldb, void * C, int64_t ldc, int Atype, int Btype,
                                int Ctype) {
    return ggml_cpu_sgemm(params, m, n, k, A, lda, B, ldb, C, ldc, Atype, Btype, Ctype);
}

#endif
