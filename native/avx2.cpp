// AVX2: 32 products per VPSHUFB.
#include "field.hpp"

#if defined(QUORATE_X86) && !defined(QUORATE_NO_PSHUFB)

#include <immintrin.h>

#include <cstring>

#include "target.hpp"

namespace quorate {

QUORATE_TARGET_BEGIN("avx2")

namespace {

#include "dot.hpp"
#include "wide.hpp"
#include "avx2-registers.hpp"
#include "shuffle.hpp"

struct Isa : Avx2Registers {
  static Register low_nibbles(Register x) { return _mm256_and_si256(x, _mm256_set1_epi8(15)); }
  static Register high_nibbles(Register x) { return low_nibbles(_mm256_srli_epi64(x, 4)); }
  static Register table(const Byte* p) {
    return _mm256_broadcastsi128_si256(_mm_load_si128(reinterpret_cast<const __m128i*>(p)));
  }
  static Register look_up(Register table, Register x) { return _mm256_shuffle_epi8(table, x); }
};

}  // namespace

void run_avx2(const Job& job) {
  run_job<ShuffleVector<Isa, 2, 4>, ShuffleVector<Isa, 1, 4>>(job);
}

QUORATE_TARGET_END

}  // namespace quorate

#endif
