// What every Vector has that works on kWidth registers of an `Isa` at a time: its sums. `Isa` has
//   Register, kBytes, zero, load, store, exclusive_or
//
// Included inside an anonymous namespace only (see kernel.hpp).

template <class Isa, int kWidth>
struct Wide {
  using Register = typename Isa::Register;
  static constexpr size_t kBytes = kWidth * Isa::kBytes;

  struct Sum {
    Register part[kWidth];
    Sum() {
      for (auto& each : part) each = Isa::zero();
    }
  };

  template <class Block>
  static void add(Sum& sum, const Block& block) {
    for (int i = 0; i < kWidth; i++) {
      sum.part[i] = Isa::exclusive_or(sum.part[i], block.whole[i]);
    }
  }

  static void store(Byte* address, const Sum& sum) {
    for (int i = 0; i < kWidth; i++) Isa::store(address + i * Isa::kBytes, sum.part[i]);
  }
};
