// Products of a few rows (the decoder: one token, or one for each hypothesis): bound by reading the weights, so they are
// read once for all rows, in the order in which they lie.
//
// Needs AVX-512 with VNNI.

#include <algorithm>

#include "lanes.h"

namespace sprachpost {
namespace {

// Weights are asked for this far ahead: the processor's own guess ends with every page.
constexpr int64_t PREFETCH_BYTES = 4096;

// Added to eight-bit weights, by flipping their sign, so that they have none.
constexpr int SIGN_OFFSET = 128;

// Products of a few rows with eight-bit weights, ROWS rows at a time.
template <int ROWS>
void multiply_rows(const block_q8_0 * weights, int64_t lda, int64_t first, int64_t end, int64_t blocks,
                   const EightBitRows & values, const Buffer<Lanes> & corrections, float * C, int64_t ldc) {
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
        for (int64_t b = 0; b < blocks; b += Kernels::BLOCKS_AT_A_TIME) {
            // The scales of 16 blocks; each is the first two bytes of its block.
            const __m512i words = _mm512_i32gather_epi32(offsets, (const int *) (row + b), 1);
            const __m512 weight_scales = _mm512_cvtph_ps(_mm512_cvtepi32_epi16(words));
            __m512 both[ROWS];
            for (int r = 0; r < ROWS; r++) {
                both[r] = _mm512_mul_ps(weight_scales, _mm512_loadu_ps(&values.scales[r * blocks + b]));
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
                    const __m512i product = _mm512_dpbusd_epi32(corrections[at], unsigned_weights, values.values[at]);
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
void multiply_halves(Share share, const uint16_t * weights, int64_t lda, int64_t m, int64_t k, const Value * rows,
                     int64_t ldb, int64_t n, float * C, int64_t ldc) {
    constexpr int64_t AT_A_TIME = 16;
    const int64_t part = round_up((m + share.threads - 1) / share.threads, AT_A_TIME);
    const int64_t end = std::min(m, (share.thread + 1) * part);
    for (int64_t i = share.thread * part; i < end; i += AT_A_TIME) {
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

using MultiplyRows = void (*)(const block_q8_0 *, int64_t, int64_t, int64_t, int64_t, const EightBitRows &,
                              const Buffer<Lanes> &, float *, int64_t);
constexpr int64_t FEW_ROWS_MAX = 6;
constexpr MultiplyRows MULTIPLY_ROWS[FEW_ROWS_MAX] = { multiply_rows<1>, multiply_rows<2>, multiply_rows<3>,
                                                        multiply_rows<4>, multiply_rows<5>, multiply_rows<6> };

} // namespace

void multiply_few(Share share, const void * weights, int64_t lda, int64_t m, int64_t blocks, const void * rows, int64_t ldb,
                  int64_t n, float * C, int64_t ldc) {
    static thread_local EightBitRows values;
    static thread_local Buffer<Lanes> corrections;
    const int64_t part = (m + share.threads - 1) / share.threads;
    const int64_t first = std::min(m, share.thread * part), end = std::min(m, first + part);
    for (int64_t j = 0; j < n; j += FEW_ROWS_MAX) {
        const int64_t count = std::min(FEW_ROWS_MAX, n - j);
        values.take((const block_q8_0 *) rows + j * ldb, ldb, count, blocks);
        values.correct_for(SIGN_OFFSET, corrections);
        const MultiplyRows multiply = MULTIPLY_ROWS[count - 1];
        multiply((const block_q8_0 *) weights, lda, first, end, blocks, values, corrections, C + j * ldc, ldc);
    }
}

void multiply_few_halves(Share share, const uint16_t * weights, int64_t lda, int64_t m, const Matrix & rows, int64_t n,
                         float * C, int64_t ldc) {
    if (rows.type == GGML_TYPE_F32) {
        multiply_halves(share, weights, lda, m, rows.columns, (const float *) rows.data, rows.stride, n, C, ldc);
    } else {
        multiply_halves(share, weights, lda, m, rows.columns, (const uint16_t *) rows.data, rows.stride, n, C, ldc);
    }
}

} // namespace sprachpost
