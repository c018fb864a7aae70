// Rows of eight-bit values, laid out for products with weights that have no sign.
#pragma once

#include <cstdint>
#include <vector>

#define GGML_COMMON_DECL_CPP
#include "ggml-common.h"
#include "ggml-cpu-impl.h"

#if defined(__AVX512F__) && defined(__AVX512BW__) && defined(__AVX512VNNI__)

#include <immintrin.h>

// A register in memory.
struct alignas(64) Lanes {
    uint8_t bytes[64];

    operator __m512i() const {
        return _mm512_load_si512(bytes);
    }
};

// Lane i of the result is the sum over the lanes of sums[i], for up to 16 of them at the price of about two.
template <int COUNT>
inline __m512 add_up(const __m512 (&sums)[COUNT]) {
    static_assert(COUNT <= 16, "a register has 16 lanes");
    const auto at = [&](int i) { return sums[i < COUNT ? i : COUNT - 1]; };
    __m512 fours[4];
    for (int i = 0; i < 4; i++) {
        __m512 pairs[2];
        for (int half = 0; half < 2; half++) {
            const __m512 a = at(4 * i + 2 * half), b = at(4 * i + 2 * half + 1);
            pairs[half] = _mm512_add_ps(_mm512_unpacklo_ps(a, b), _mm512_unpackhi_ps(a, b));
        }
        const __m512d a = _mm512_castps_pd(pairs[0]), b = _mm512_castps_pd(pairs[1]);
        fours[i] = _mm512_add_ps(_mm512_castpd_ps(_mm512_unpacklo_pd(a, b)), _mm512_castpd_ps(_mm512_unpackhi_pd(a, b)));
        if (4 * (i + 1) >= COUNT) {
            for (int rest = i + 1; rest < 4; rest++) {
                fours[rest] = fours[i];
            }
            break;
        }
    }
    const auto halved = [](__m512 a, __m512 b) {
        return _mm512_add_ps(_mm512_shuffle_f32x4(a, b, 0x88), _mm512_shuffle_f32x4(a, b, 0xdd));
    };
    return halved(halved(fours[0], fours[1]), halved(fours[2], fours[3]));
}

// Two blocks of 32 values fill a register. The instruction for products wants one side without a sign: an offset is
// added to the weights, and subtracted again as so many times the sum of the row's values, which is known beforehand.
struct EightBitRows {
    std::vector<Lanes> values;
    // For the offset asked for: minus so many times the sum of each four values.
    std::vector<Lanes> corrections;
    // For each block.
    std::vector<float> scales;

    // `blocks` is even.
    void take(const block_q8_0 * rows, int64_t stride, int64_t count, int64_t blocks) {
        values.resize(count * blocks / 2);
        scales.resize(count * blocks);
        for (int64_t r = 0; r < count; r++) {
            for (int64_t b = 0; b < blocks; b += 2) {
                const block_q8_0 * two = rows + r * stride + b;
                const __m512i both = _mm512_inserti64x4(
                    _mm512_castsi256_si512(_mm256_loadu_si256((const __m256i *) two[0].qs)),
                    _mm256_loadu_si256((const __m256i *) two[1].qs), 1);
                _mm512_store_si512(&values[(r * blocks + b) / 2], both);
                scales[r * blocks + b] = _cvtsh_ss(two[0].d);
                scales[r * blocks + b + 1] = _cvtsh_ss(two[1].d);
            }
        }
    }

    // `offset` is at most 255.
    void correct_for(int offset) {
        corrections.resize(values.size());
        for (size_t i = 0; i < values.size(); i++) {
            const __m512i sum = _mm512_dpbusd_epi32(_mm512_setzero_si512(), _mm512_set1_epi8((char) offset), values[i]);
            _mm512_store_si512(&corrections[i], _mm512_sub_epi32(_mm512_setzero_si512(), sum));
        }
    }
};

#endif
