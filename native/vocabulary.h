// What vocabulary.cpp, compiled with ggml, offers to sequences.cpp, compiled with whisper.cpp.
#pragma once

#include "ggml.h"

// Whether this is a matrix of eight-bit weights that this machine is faster with in halves.
bool sprachpost_can_split(const ggml_tensor * matrix);
// Rewrites such a matrix where it is. Only the following two can read it then.
void sprachpost_split(ggml_tensor * matrix);
// Operators of ggml, on such a matrix. Its products with the rows of the second operand, in single precision; in the
// place of user data is the number of the first row of the matrix that is always taken as a whole.
void sprachpost_scores(ggml_tensor * scores, int thread, int threads, void * first_exact);
// Those of its rows that the second operand, of 32-bit integers, names.
void sprachpost_rows(ggml_tensor * rows, int thread, int threads, void * unused);
