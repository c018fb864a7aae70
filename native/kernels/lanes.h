// Registers of 512 bits in memory, and how their lanes are added up.
//
// All of it is in an unnamed namespace, and none of it is std::vector: of a template the linker keeps one copy for the
// whole program, and that might be the one that only the newest processors can run.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <new>
#include <type_traits>

#include <immintrin.h>

#define GGML_COMMON_DECL_CPP
#include "ggml-common.h"

#include "../kernels.h"

namespace sprachpost {
namespace {

inline int64_t round_up(int64_t value, int64_t step) {
    return (value + step - 1) / step * step;
}

// A register in memory.
struct alignas(64) Lanes {
    uint8_t bytes[64];

    operator __m512i() const {
        return _mm512_load_si512(bytes);
    }
};

// Memory that a thread keeps from one product to the next. It grows, forgetting what was in it, and never shrinks.
template <typename T>
class Buffer {
public:
    constexpr Buffer() = default;
    ~Buffer() {
        std::free(memory);
    }
    Buffer(const Buffer &) = delete;
    Buffer & operator=(const Buffer &) = delete;

    T * at_least(size_t count) {
        static_assert(std::is_trivial<T>::value, "nothing is constructed");
        const size_t wanted = round_up(count * sizeof(T), sizeof(Lanes));
        if (wanted > bytes) {
            std::free(memory);
            bytes = 0;
            memory = static_cast<T *>(std::aligned_alloc(alignof(Lanes), wanted));
            if (!memory) {
                throw std::bad_alloc();
            }
            bytes = wanted;
        }
        return memory;
    }

    const T & operator[](size_t index) const {
        return memory[index];
    }

private:
    T * memory = nullptr;
    size_t bytes = 0;
};

// Lane i of the result is the sum over the lanes of sums[i], for up to 16 of them at the price of about two.
template <int COUNT>
__m512 add_up(const __m512 (&sums)[COUNT]) {
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

} // namespace
} // namespace sprachpost
