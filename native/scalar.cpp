// The portable kernel: every processor, no instruction beyond the compiler's own. Multiplies 8 bytes at a time by
// adding up their doublings, which compilers turn into whatever vectors the processor surely has.
#include <cstring>

#include "field.hpp"

namespace quorate {

namespace {

#include "dot.hpp"

struct Words {
  static constexpr size_t kBytes = 64;
  static constexpr int kRows = 4;
  static constexpr int kWords = 8;

  struct Sum {
    std::uint64_t word[kWords] = {};
  };

  struct Block {
    // doubled[b] is the block times 2^b.
    std::uint64_t doubled[8][kWords];

    explicit Block(const Byte* address) {
      std::memcpy(doubled[0], address, kBytes);
      for (int b = 1; b < 8; b++) {
        for (int i = 0; i < kWords; i++) doubled[b][i] = twice(doubled[b - 1][i]);
      }
    }

    static std::uint64_t twice(std::uint64_t x) {
      const std::uint64_t high = x & 0x8080808080808080;
      // 0xff in each byte that overflows.
      const std::uint64_t overflow = (high - (high >> 7)) | high;
      return ((x ^ high) << 1) ^ (overflow & 0x1d1d1d1d1d1d1d1d);
    }
  };

  static void add(Sum& sum, const Block& block) {
    for (int i = 0; i < kWords; i++) sum.word[i] ^= block.doubled[0][i];
  }

  static void add_product(Sum& sum, const Block& block, Byte c) {
    for (int b = 0; b < 8; b++) {
      const std::uint64_t mask = std::uint64_t{0} - ((c >> b) & 1);
      for (int i = 0; i < kWords; i++) sum.word[i] ^= block.doubled[b][i] & mask;
    }
  }

  static void store(Byte* address, const Sum& sum) { std::memcpy(address, sum.word, kBytes); }
};

}  // namespace

void run_scalar(const Job& job) { run_job<Words, Words>(job); }

void run_bytes(const Job& job) {
  for (size_t r = 0; r < job.rows; r++) {
    for (size_t i = 0; i < job.length; i++) {
      Byte sum = 0;
      for (size_t j = 0; j < job.k; j++) {
        const Byte* product = kNibbles.product[job.coefficients[r * job.k + j]];
        const Byte x = job.sources[j][i];
        sum = static_cast<Byte>(sum ^ product[x & 15] ^ product[16 + (x >> 4)]);
      }
      job.targets[r][i] = sum;
    }
  }
}

}  // namespace quorate
