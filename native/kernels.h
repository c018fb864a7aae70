// What kernels/ offers, as far as this processor can run it.
//
// Those files are compiled for more than the rest of the program is, so that one binary serves old and new processors.
// They are reached through this table only, which `kernels()` fills after asking the processor.
#pragma once

#include <cstdint>

#include "ggml.h"

namespace sprachpost {

// A matrix of some type, read by rows.
struct Matrix {
    const void * data;
    int64_t stride; // from row to row, in elements, or in blocks where values come in blocks
    int64_t columns;
    int type; // of ggml's, or INTERLEAVED

    // As `Kernels::interleave` leaves eight-bit weights; the stride is what it was before.
    static constexpr int INTERLEAVED = GGML_TYPE_COUNT;

    bool is_readable() const {
        return type == GGML_TYPE_F32 || type == GGML_TYPE_F16 || type == GGML_TYPE_BF16 || type == GGML_TYPE_Q8_0;
    }
};

// Which part of the work is whose.
struct Share {
    int thread, threads;
};

// A member is null where the processor has no use for it. Blocks are of 32 eight-bit values and their scale (q8_0).
struct Kernels {
    // Products of any readable `rows` (n of them) with any readable weights (m rows): C[n][m]. Below MANY_ROWS_MIN rows
    // and WEIGHTS_MIN rows of weights, much of the work would be for nothing.
    void (*multiply_many)(Share share, const Matrix & weights, int64_t m, const Matrix & rows, int64_t n, float * C,
                          int64_t ldc);
    static constexpr int64_t MANY_ROWS_MIN = 16, WEIGHTS_MIN = 32;

    // Products of a few rows with weights in half precision; the rows are in single or in half precision, too.
    void (*multiply_few_halves)(Share share, const uint16_t * weights, int64_t lda, int64_t m, const Matrix & rows,
                                int64_t n, float * C, int64_t ldc);

    // Turns `count` values into their share of a sum of powers; `mask`, if not null, is added to the scaled values.
    void (*soft_max_row)(const float * values, const float * mask, float scale, int64_t count, float * result);
    void (*gelu_row)(const float * values, int64_t count, float * result);

    // An operator of ggml, on keys [values of a head, positions, heads], queries of the same shape and values
    // [positions, values of a head, heads] that lie like the keys, all in single precision:
    // softmax(queries · keys · scale) · values. In the place of user data are the bits of the scale.
    void (*attend)(ggml_tensor * result, int thread, int threads, void * scale_bits);
    static constexpr int64_t HEAD = 64;

    // Rewrites a matrix of eight-bit weights where it is, for products with a few rows; a row is a multiple of
    // BLOCKS_AT_A_TIME blocks. Only `multiply_many` and the following can read it then.
    void (*interleave)(ggml_tensor * weights);
    static constexpr int64_t BLOCKS_AT_A_TIME = 16;
    // An operator of ggml: its products with the rows of the second operand, in single precision.
    void (*products)(ggml_tensor * products, int thread, int threads, void * unused);

    // The same for the matrix of all tokens, in halves. Only the following two can read it then.
    void (*split)(ggml_tensor * matrix);
    // Operators of ggml, on such a matrix. Its products with the rows of the second operand, in single precision; in the
    // place of user data is the number of the first row of the matrix that is always taken as a whole.
    void (*scores)(ggml_tensor * scores, int thread, int threads, void * first_exact);
    // Those of its rows that the second operand, of 32-bit integers, names.
    void (*rows)(ggml_tensor * rows, int thread, int threads, void * unused);
};

const Kernels & kernels();

// What the table is filled with. Each file of kernels/ says above its first function what it needs.
void multiply_many(Share share, const Matrix & weights, int64_t m, const Matrix & rows, int64_t n, float * C,
                   int64_t ldc);
void multiply_few_halves(Share share, const uint16_t * weights, int64_t lda, int64_t m, const Matrix & rows, int64_t n,
                         float * C, int64_t ldc);
void soft_max_row(const float * values, const float * mask, float scale, int64_t count, float * result);
void gelu_row(const float * values, int64_t count, float * result);
void attend(ggml_tensor * result, int thread, int threads, void * scale_bits);
void interleave(ggml_tensor * weights);
void products(ggml_tensor * products, int thread, int threads, void * unused);
void split(ggml_tensor * matrix);
void scores(ggml_tensor * scores, int thread, int threads, void * first_exact);
void rows(ggml_tensor * rows, int thread, int threads, void * unused);

} // namespace sprachpost
