#include "field.hpp"

namespace quorate {

namespace {

constexpr NibbleTables nibble_tables() {
  NibbleTables tables{};
  for (int c = 0; c < 256; c++) {
    for (int x = 0; x < 16; x++) {
      tables.product[c][x] = multiply(static_cast<Byte>(c), static_cast<Byte>(x));
      tables.product[c][x + 16] = multiply(static_cast<Byte>(c), static_cast<Byte>(x << 4));
    }
  }
  return tables;
}

constexpr BitMatrices bit_matrices() {
  BitMatrices matrices{};
  for (int c = 0; c < 256; c++) {
    Byte column = static_cast<Byte>(c);
    for (int j = 0; j < 8; j++, column = times_two(column)) {
      for (int i = 0; i < 8; i++) {
        if ((column >> i) & 1) matrices.matrix[c] |= std::uint64_t{1} << (8 * (7 - i) + j);
      }
    }
  }
  return matrices;
}

}  // namespace

constexpr NibbleTables kComputedNibbles = nibble_tables();
constexpr BitMatrices kComputedMatrices = bit_matrices();

extern const NibbleTables kNibbles = kComputedNibbles;
extern const BitMatrices kMatrices = kComputedMatrices;

}  // namespace quorate
