// SSSE3: 16 products per PSHUFB.
#include "field.hpp"

#if defined(QUORATE_X86) && !defined(QUORATE_NO_PSHUFB)

#include <immintrin.h>

#include <cstring>

#include "target.hpp"

namespace quorate {

QUORATE_TARGET_BEGIN("ssse3")

namespace {

#include "dot.hpp"
#include "wide.hpp"
#include "shuffle.hpp"

struct Isa {
  using Register = __m128i;
  static constexpr size_t kBytes = 16;
  static Register zero() { return _mm_setzero_si128(); }
  static Register load(const Byte* p) {
    return _mm_loadu_si128(reinterpret_cast<const __m128i*>(p));
  }
  static void store(Byte* p, Register x) { _mm_storeu_si128(reinterpret_cast<__m128i*>(p), x); }
  static Register exclusive_or(Register a, Register b) { return _mm_xor_si128(a, b); }
  static Register low_nibbles(Register x) { return _mm_and_si128(x, _mm_set1_epi8(15)); }
  static Register high_nibbles(Register x) { return low_nibbles(_mm_srli_epi64(x, 4)); }
  static Register table(const Byte* p) {
    return _mm_load_si128(reinterpret_cast<const __m128i*>(p));
  }
  static Register look_up(Register table, Register x) { return _mm_shuffle_epi8(table, x); }
};

}  // namespace

void run_ssse3(const Job& job) { run_job<ShuffleVector<Isa, 2, 4>, ShuffleVector<Isa, 1, 4>>(job); }

QUORATE_TARGET_END

}  // namespace quorate

#endif
