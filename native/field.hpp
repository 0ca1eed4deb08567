// Tables of GF(2^8) with the polynomial 0x11D, computed by the compiler: there is nothing to initialise.
#pragma once

#include "kernel.hpp"

namespace quorate {

constexpr Byte times_two(Byte x) {
  return static_cast<Byte>((x << 1) ^ ((x & 0x80) ? 0x1d : 0));
}

constexpr Byte multiply(Byte a, Byte b) {
  Byte sum = 0;
  for (; b != 0; b = static_cast<Byte>(b >> 1), a = times_two(a)) {
    if (b & 1) sum = static_cast<Byte>(sum ^ a);
  }
  return sum;
}

// For each coefficient c the products c * x and c * (x << 4) of all x below 16: any product is the XOR of two of
// them, and a byte shuffle looks 16 up at once.
struct NibbleTables {
  alignas(64) Byte product[256][32];
};

// For each coefficient the 8 by 8 bit matrix of the multiplication by it, as GF2P8AFFINEQB takes it: byte 7 - i
// holds row i, and bit j of a row says whether bit i of c * 2^j is set.
struct BitMatrices {
  alignas(64) std::uint64_t matrix[256];
};

extern const NibbleTables kNibbles;
extern const BitMatrices kMatrices;

}  // namespace quorate
