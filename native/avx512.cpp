// AVX-512BW: 64 products per VPSHUFB.
#include "field.hpp"

#if defined(QUORATE_X86) && !defined(QUORATE_NO_PSHUFB)

#include <immintrin.h>

#include <cstring>

#include "target.hpp"

namespace quorate {

QUORATE_TARGET_BEGIN("avx512f,avx512bw")

namespace {

#include "dot.hpp"
#include "wide.hpp"
#include "avx512-registers.hpp"
#include "shuffle.hpp"

struct Isa : Avx512Registers {
  static Register low_nibbles(Register x) { return _mm512_and_si512(x, _mm512_set1_epi8(15)); }
  static Register high_nibbles(Register x) { return low_nibbles(_mm512_srli_epi64(x, 4)); }
  static Register table(const Byte* p) {
    return _mm512_broadcast_i32x4(_mm_load_si128(reinterpret_cast<const __m128i*>(p)));
  }
  static Register look_up(Register table, Register x) { return _mm512_shuffle_epi8(table, x); }
};

}  // namespace

void run_avx512(const Job& job) {
  run_job<ShuffleVector<Isa, 2, 6>, ShuffleVector<Isa, 1, 6>>(job);
}

QUORATE_TARGET_END

}  // namespace quorate

#endif
