// NEON on arm64: 16 products per TBL.
#include "field.hpp"

#if defined(QUORATE_NEON)

#include <arm_neon.h>

#include <cstring>

namespace quorate {

namespace {

#include "dot.hpp"
#include "wide.hpp"
#include "shuffle.hpp"

struct Isa {
  using Register = uint8x16_t;
  static constexpr size_t kBytes = 16;
  static Register zero() { return vdupq_n_u8(0); }
  static Register load(const Byte* p) { return vld1q_u8(p); }
  static void store(Byte* p, Register x) { vst1q_u8(p, x); }
  static Register exclusive_or(Register a, Register b) { return veorq_u8(a, b); }
  static Register low_nibbles(Register x) { return vandq_u8(x, vdupq_n_u8(15)); }
  static Register high_nibbles(Register x) { return vshrq_n_u8(x, 4); }
  static Register table(const Byte* p) { return vld1q_u8(p); }
  static Register look_up(Register table, Register x) { return vqtbl1q_u8(table, x); }
};

}  // namespace

void run_neon(const Job& job) { run_job<ShuffleVector<Isa, 2, 6>, ShuffleVector<Isa, 1, 6>>(job); }

}  // namespace quorate

#endif
