// What this processor can run, asked once per call: CPUID says what it has, XGETBV which registers the system saves.
#include "kernel.hpp"

#if defined(QUORATE_X86)
#if defined(_MSC_VER)
#include <intrin.h>
#else
#include <cpuid.h>
#endif
#endif

namespace quorate {

#if defined(QUORATE_X86)

namespace {

struct Registers {
  std::uint32_t a, b, c, d;
};

Registers cpuid(std::uint32_t leaf) {
#if defined(_MSC_VER)
  int r[4];
  __cpuidex(r, static_cast<int>(leaf), 0);
  return {static_cast<std::uint32_t>(r[0]), static_cast<std::uint32_t>(r[1]),
          static_cast<std::uint32_t>(r[2]), static_cast<std::uint32_t>(r[3])};
#else
  Registers r{};
  __cpuid_count(leaf, 0, r.a, r.b, r.c, r.d);
  return r;
#endif
}

std::uint64_t saved_registers() {
#if defined(_MSC_VER)
  return _xgetbv(0);
#else
  std::uint32_t low, high;
  __asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
  return (std::uint64_t{high} << 32) | low;
#endif
}

constexpr bool bit(std::uint32_t word, int n) { return (word >> n) & 1; }

struct Features {
  bool ssse3 = false;
  bool avx2 = false;
  bool avx512bw = false;
  bool gfni = false;
};

Features features() {
  Features found;
  const std::uint32_t leaves = cpuid(0).a;
  const Registers basic = cpuid(1);
  found.ssse3 = bit(basic.c, 9);
  const bool saves = bit(basic.c, 27);
  if (leaves < 7 || !saves || !bit(basic.c, 28)) return found;
  const std::uint64_t saved = saved_registers();
  const Registers extended = cpuid(7);
  const bool saves_ymm = (saved & 0x06) == 0x06;
  const bool saves_zmm = (saved & 0xe6) == 0xe6;
  found.avx2 = saves_ymm && bit(extended.b, 5);
  found.avx512bw = found.avx2 && saves_zmm && bit(extended.b, 16) && bit(extended.b, 30);
  found.gfni = bit(extended.c, 8);
  return found;
}

}  // namespace

size_t available_levels(Level* levels) {
  const Features has = features();
  size_t count = 0;
  if (has.avx512bw && has.gfni) levels[count++] = {"avx512-gfni", run_avx512_gfni};
  if (has.avx2 && has.gfni) levels[count++] = {"avx2-gfni", run_avx2_gfni};
#if !defined(QUORATE_NO_PSHUFB)
  if (has.avx512bw) levels[count++] = {"avx512", run_avx512};
  if (has.avx2) levels[count++] = {"avx2", run_avx2};
  if (has.ssse3) levels[count++] = {"ssse3", run_ssse3};
#endif
  levels[count++] = {"scalar", run_scalar};
  return count;
}

#else

size_t available_levels(Level* levels) {
  size_t count = 0;
#if defined(QUORATE_NEON)
  levels[count++] = {"neon", run_neon};
#endif
  levels[count++] = {"scalar", run_scalar};
  return count;
}

#endif

}  // namespace quorate
