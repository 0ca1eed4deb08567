// The kernel: sums of products over GF(2^8), once per instruction set. See docs/erasure.md.
//
// Every instruction set lives in a file of its own, in an anonymous namespace: an inline function that two files
// share would be linked from either, and could carry instructions that the processor lacks.
#pragma once

#include <cstddef>
#include <cstdint>

namespace quorate {

using Byte = std::uint8_t;
using std::size_t;

// What a kernel computes: target[r][i] = sum over j of coefficients[r * k + j] * source[j][i], for i < length.
// Targets overlap neither sources nor each other; a source may be read more than once. k and rows are at least 1.
struct Job {
  const Byte* coefficients;
  size_t k;
  size_t rows;
  const Byte* const* sources;
  Byte* const* targets;
  size_t length;
};

using Kernel = void (*)(const Job&);

// An instruction set, by the name under which it is asked for.
struct Level {
  const char* name;
  Kernel kernel;
};

// The levels that this processor runs, the fastest first; the last is "scalar", which every processor runs.
// Writes at most kLevelsMax to `levels` and returns how many there are.
constexpr size_t kLevelsMax = 8;
size_t available_levels(Level* levels);

void run_scalar(const Job& job);

// For shards that are shorter than a vector.
void run_bytes(const Job& job);

#if defined(__x86_64__) || defined(_M_X64)
#define QUORATE_X86 1
#if !defined(QUORATE_NO_PSHUFB)
void run_ssse3(const Job& job);
void run_avx2(const Job& job);
void run_avx512(const Job& job);
#endif
void run_avx2_gfni(const Job& job);
void run_avx512_gfni(const Job& job);
#elif (defined(__aarch64__) || defined(_M_ARM64)) && !defined(QUORATE_NO_PSHUFB)
#define QUORATE_NEON 1
void run_neon(const Job& job);
#endif

}  // namespace quorate
