// What every level on AVX2 registers does with them.
//
// Included inside an anonymous namespace only (see kernel.hpp).

struct Avx2Registers {
  using Register = __m256i;
  static constexpr size_t kBytes = 32;
  static Register zero() { return _mm256_setzero_si256(); }
  static Register load(const Byte* p) {
    return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p));
  }
  static void store(Byte* p, Register x) {
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(p), x);
  }
  static Register exclusive_or(Register a, Register b) { return _mm256_xor_si256(a, b); }
};
