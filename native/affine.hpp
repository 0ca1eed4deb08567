// A Vector for instruction sets with GFNI, which multiplies whole bytes by a bit matrix. `Isa` has
//   Register, kBytes, zero, load, store, exclusive_or, matrix (the same to each lane), multiply
//
// GF2P8MULB would not do: its polynomial is another one (0x11B).
//
// Included inside an anonymous namespace only (see kernel.hpp).

template <class Isa, int kWidth, int kRowsHeld>
struct AffineVector : Wide<Isa, kWidth> {
  using Register = typename Isa::Register;
  using Sum = typename Wide<Isa, kWidth>::Sum;
  static constexpr int kRows = kRowsHeld;

  struct Block {
    Register whole[kWidth];
    explicit Block(const Byte* address) {
      for (int i = 0; i < kWidth; i++) whole[i] = Isa::load(address + i * Isa::kBytes);
    }
  };

  static void add_product(Sum& sum, const Block& block, Byte c) {
    const Register matrix = Isa::matrix(kMatrices.matrix[c]);
    for (int i = 0; i < kWidth; i++) {
      sum.part[i] = Isa::exclusive_or(sum.part[i], Isa::multiply(block.whole[i], matrix));
    }
  }
};
