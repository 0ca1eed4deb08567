// What every level on AVX-512 registers does with them.
//
// Included inside an anonymous namespace only (see kernel.hpp).

struct Avx512Registers {
  using Register = __m512i;
  static constexpr size_t kBytes = 64;
  static Register zero() { return _mm512_setzero_si512(); }
  static Register load(const Byte* p) { return _mm512_loadu_si512(p); }
  static void store(Byte* p, Register x) { _mm512_storeu_si512(p, x); }
  static Register exclusive_or(Register a, Register b) { return _mm512_xor_si512(a, b); }
};
