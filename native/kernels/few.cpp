// Products of a few rows (the decoder: one token, or one for each hypothesis): bound by reading the weights, so they are
// read once for all rows, in the order in which they lie.
//
// Needs AVX-512 with VNNI.

#include <algorithm>

#include "ggml-cpu-impl.h"
#include "interleaved.h"
#include "quants.h"

namespace sprachpost {
namespace {

// Rows of weights that share the work of adding up lanes.
constexpr int64_t AT_A_TIME = 16;
constexpr int64_t ROWS_MAX = 6;
// Weights are asked for this far ahead: the processor's own guess ends with every page.
constexpr int64_t PREFETCH_BYTES = 4096;
// The same for keys and values, in rows of them: those of a head lie far apart.
constexpr int64_t PREFETCH_ROWS = 64;

// Products of ROWS rows with interleaved weights.
template <int ROWS>
void multiply_rows(const char * weights, int64_t first, int64_t end, int64_t blocks, const EightBitRows & values,
                   const Buffer<Lanes> & corrections, float * C, int64_t ldc) {
    const int64_t groups = blocks / GROUP_BLOCKS;
    for (int64_t i = first; i < end; i += AT_A_TIME) {
        const int64_t rows_here = std::min(AT_A_TIME, end - i);
        __m512 sums[ROWS][AT_A_TIME] = {};
        for (int64_t row = 0; row < rows_here; row++) {
            const char * at = weights + (i + row) * groups * GROUP_BYTES;
            for (int64_t group = 0; group < groups; group++, at += GROUP_BYTES) {
                _mm_prefetch(at + PREFETCH_BYTES, _MM_HINT_T1);
                const __m512 weight_scales = _mm512_cvtph_ps(_mm256_loadu_si256((const __m256i *) at));
                __m512i products[ROWS];
                for (int r = 0; r < ROWS; r++) {
                    products[r] = corrections[r * groups + group];
                }
                for (int64_t part = 0; part < GROUP_REGISTERS; part++) {
                    const char * here = at + GROUP_SCALE_BYTES + part * sizeof(Lanes);
                    _mm_prefetch(here + PREFETCH_BYTES, _MM_HINT_T1);
                    const __m512i some = _mm512_loadu_si512(here);
                    for (int r = 0; r < ROWS; r++) {
                        const Lanes & others = values.values[(r * groups + group) * GROUP_REGISTERS + part];
                        products[r] = _mm512_dpbusd_epi32(products[r], some, others);
                    }
                }
                for (int r = 0; r < ROWS; r++) {
                    const __m512 scales =
                        _mm512_mul_ps(weight_scales, _mm512_load_ps(&values.scales[r * blocks + group * GROUP_BLOCKS]));
                    sums[r][row] = _mm512_fmadd_ps(_mm512_cvtepi32_ps(products[r]), scales, sums[r][row]);
                }
            }
        }
        for (int r = 0; r < ROWS; r++) {
            _mm512_mask_storeu_ps(C + r * ldc + i, (__mmask16) ((1u << rows_here) - 1), add_up(sums[r]));
        }
    }
}

using MultiplyRows = void (*)(const char *, int64_t, int64_t, int64_t, const EightBitRows &, const Buffer<Lanes> &,
                              float *, int64_t);
constexpr MultiplyRows MULTIPLY_ROWS[ROWS_MAX] = { multiply_rows<1>, multiply_rows<2>, multiply_rows<3>,
                                                    multiply_rows<4>, multiply_rows<5>, multiply_rows<6> };

__m512 read_values(const float * values, __mmask16 lanes) {
    return _mm512_maskz_loadu_ps(lanes, values);
}

__m512 read_values(const uint16_t * halves, __mmask16 lanes) {
    return _mm512_cvtph_ps(_mm256_maskz_loadu_epi16(lanes, halves));
}

// Products of a few rows with weights in half precision: attention to what was said, and to the audio.
template <typename Value>
void multiply_halves(Share share, const uint16_t * weights, int64_t lda, int64_t m, int64_t k, const Value * rows,
                     int64_t ldb, int64_t n, float * C, int64_t ldc) {
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
                    _mm_prefetch((const char *) (halves + PREFETCH_ROWS * lda), _MM_HINT_T1);
                    sums[r] = _mm512_fmadd_ps(read_values(halves, lanes), values, sums[r]);
                }
            }
            _mm512_mask_storeu_ps(C + j * ldc + i, (__mmask16) ((1u << rows_here) - 1), add_up(sums));
        }
    }
}

} // namespace

void interleave(ggml_tensor * weights) {
    Buffer<block_q8_0> memory;
    Lanes registers[GROUP_REGISTERS];
    block_q8_0 * group = memory.at_least(GROUP_BLOCKS);
    char * at = (char *) weights->data;
    for (int64_t left = ggml_nbytes(weights); left > 0; left -= GROUP_BYTES) {
        std::memcpy((void *) group, at, GROUP_BYTES);
        for (int64_t b = 0; b < GROUP_BLOCKS; b++, at += sizeof(ggml_half)) {
            std::memcpy(at, &group[b].d, sizeof(ggml_half));
        }
        lay_side_by_side(group, registers);
        for (const Lanes & some : registers) {
            _mm512_storeu_si512(at, _mm512_xor_si512(some, _mm512_set1_epi8((char) WEIGHT_OFFSET)));
            at += sizeof(Lanes);
        }
    }
}

void products(ggml_tensor * products, int thread, int threads, void *) {
    const ggml_tensor * weights = products->src[0], * rows = products->src[1];
    const int64_t m = weights->ne[1], n = rows->ne[1], blocks = weights->ne[0] / QK8_0;
    float * results = (float *) products->data;
    if (n >= Kernels::MANY_ROWS_MIN && kernels().multiply_many) {
        const Matrix left = { weights->data, blocks, weights->ne[0], Matrix::INTERLEAVED };
        const Matrix right = { rows->data, (int64_t) (rows->nb[1] / sizeof(float)), rows->ne[0], GGML_TYPE_F32 };
        kernels().multiply_many({ thread, threads }, left, m, right, n, results, m);
        return;
    }
    static thread_local Buffer<block_q8_0> memory;
    static thread_local EightBitRows values;
    static thread_local Buffer<Lanes> corrections;
    const int64_t part = (m + threads - 1) / threads;
    const int64_t first = std::min(m, thread * part), end = std::min(m, first + part);
    for (int64_t j = 0; j < n; j += ROWS_MAX) {
        const int64_t count = std::min(ROWS_MAX, n - j);
        block_q8_0 * quantised = memory.at_least(count * blocks);
        for (int64_t r = 0; r < count; r++) {
            const float * row = (const float *) ((const char *) rows->data + (j + r) * rows->nb[1]);
            quantize_row_q8_0(row, quantised + r * blocks, weights->ne[0]);
        }
        values.take(quantised, count, blocks);
        values.correct_for(WEIGHT_OFFSET, corrections);
        MULTIPLY_ROWS[count - 1]((const char *) weights->data, first, end, blocks, values, corrections, results + j * m, m);
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
