// A Vector for instruction sets that multiply by looking nibbles up, in kWidth registers at a time. `Isa` has
//   Register, kBytes, load, store, exclusive_or, low_nibbles, high_nibbles, table (16 bytes to each lane), look_up
//
// Included inside an anonymous namespace only (see kernel.hpp).

template <class Isa, int kWidth, int kRowsHeld>
struct ShuffleVector : Wide<Isa, kWidth> {
  using Register = typename Isa::Register;
  using Sum = typename Wide<Isa, kWidth>::Sum;
  static constexpr int kRows = kRowsHeld;

  struct Block {
    Register whole[kWidth];
    Register low[kWidth];
    Register high[kWidth];
    explicit Block(const Byte* address) {
      for (int i = 0; i < kWidth; i++) {
        whole[i] = Isa::load(address + i * Isa::kBytes);
        low[i] = Isa::low_nibbles(whole[i]);
        high[i] = Isa::high_nibbles(whole[i]);
      }
    }
  };

  static void add_product(Sum& sum, const Block& block, Byte c) {
    const Register low = Isa::table(kNibbles.product[c]);
    const Register high = Isa::table(kNibbles.product[c] + 16);
    for (int i = 0; i < kWidth; i++) {
      const Register product = Isa::exclusive_or(Isa::look_up(low, block.low[i]),
                                                 Isa::look_up(high, block.high[i]));
      sum.part[i] = Isa::exclusive_or(sum.part[i], product);
    }
  }
};
