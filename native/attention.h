// What attention.cpp, compiled with ggml, offers to sequences.cpp, compiled with whisper.cpp.
#pragma once

#include "ggml.h"

// Whether this machine attends faster in one go, to keys [values of a head, positions, heads], with queries of the same
// shape, and to values [positions, values of a head, heads] that lie like the keys.
bool sprachpost_can_attend(const ggml_tensor * keys, const ggml_tensor * queries, const ggml_tensor * values);
// An operator of ggml, on keys, queries and values: softmax(queries · keys · scale) · values. In the place of user data
// are the bits of the scale.
void sprachpost_attend_at_once(ggml_tensor * result, int thread, int threads, void * scale);
