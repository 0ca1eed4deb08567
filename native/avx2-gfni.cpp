// GFNI with AVX2: 32 products per VGF2P8AFFINEQB.
#include "field.hpp"

#if defined(QUORATE_X86)

#include <immintrin.h>

#include <cstring>

#include "target.hpp"

namespace quorate {

QUORATE_TARGET_BEGIN("avx2,gfni")

namespace {

#include "dot.hpp"
#include "wide.hpp"
#include "avx2-registers.hpp"
#include "affine.hpp"

struct Isa : Avx2Registers {
  static Register matrix(std::uint64_t m) {
    return _mm256_set1_epi64x(static_cast<long long>(m));
  }
  static Register multiply(Register x, Register m) {
    return _mm256_gf2p8affine_epi64_epi8(x, m, 0);
  }
};

}  // namespace

void run_avx2_gfni(const Job& job) {
  run_job<AffineVector<Isa, 2, 6>, AffineVector<Isa, 1, 6>>(job);
}

QUORATE_TARGET_END

}  // namespace quorate

#endif
