// Compares every kernel with products computed one by one: all lengths from 0 to 300 and some larger ones, shards
// that begin right behind, and shards that end right before, a page that nobody may touch, and all coefficients.
// Run by check.mjs. With QUORATE_CHECK_EMULATED, also kernels that this processor does not have.
#include <sys/mman.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <initializer_list>

#include "field.hpp"

namespace {

using namespace quorate;

constexpr size_t kShardsMax = 40;
constexpr size_t kLengthMax = 20000;

// Room for a shard with a forbidden page on either side.
struct Room {
  Byte* first = nullptr;
  size_t bytes = 0;

  Room() {
    const auto page = static_cast<size_t>(sysconf(_SC_PAGESIZE));
    bytes = (kLengthMax + page - 1) / page * page;
    void* all = mmap(nullptr, bytes + 2 * page, PROT_READ | PROT_WRITE,
                     MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (all == MAP_FAILED) std::abort();
    first = static_cast<Byte*>(all) + page;
    if (mprotect(all, page, PROT_NONE) != 0) std::abort();
    if (mprotect(first + bytes, page, PROT_NONE) != 0) std::abort();
  }
};

Room rooms[kShardsMax];

std::uint32_t random_state = 1;

Byte random_byte() {
  random_state = random_state * 1664525 + 1013904223;
  return static_cast<Byte>(random_state >> 24);
}

// Shards begin at `offset` behind a forbidden page, or end that far before one.
struct Layout {
  bool at_end;
  size_t offset;
  size_t step;
};

Byte* place(size_t shard, size_t length, const Layout& layout) {
  const size_t offset = (layout.offset + shard * layout.step) % 64;
  if (!layout.at_end) return rooms[shard].first + offset;
  return rooms[shard].first + rooms[shard].bytes - length - offset;
}

constexpr Byte kCanary = 0xa5;

struct Span {
  Byte* from;
  Byte* to;
};

// A target with what lies within 128 bytes of it, as far as its room goes.
Span around_target(size_t shard, Byte* target, size_t length) {
  const Room& room = rooms[shard];
  Span span{target - 128, target + length + 128};
  if (span.from < room.first) span.from = room.first;
  if (span.to > room.first + room.bytes) span.to = room.first + room.bytes;
  return span;
}

bool is_right(const Job& job) {
  for (size_t r = 0; r < job.rows; r++) {
    for (size_t i = 0; i < job.length; i++) {
      Byte sum = 0;
      for (size_t j = 0; j < job.k; j++) {
        sum = static_cast<Byte>(sum ^
                                multiply(job.coefficients[r * job.k + j], job.sources[j][i]));
      }
      if (job.targets[r][i] != sum) return false;
    }
  }
  return true;
}

bool check(const Level& level, size_t k, size_t rows, const Byte* coefficients, size_t length,
           const Layout& layout) {
  const Byte* sources[kShardsMax];
  Byte* targets[kShardsMax];
  for (size_t j = 0; j < k; j++) {
    Byte* source = place(j, length, layout);
    for (size_t i = 0; i < length; i++) source[i] = random_byte();
    sources[j] = source;
  }
  for (size_t r = 0; r < rows; r++) {
    targets[r] = place(k + r, length, layout);
    const Span around = around_target(k + r, targets[r], length);
    std::memset(around.from, kCanary, static_cast<size_t>(around.to - around.from));
  }
  const Job job{coefficients, k, rows, sources, targets, length};
  if (length > 0) level.kernel(job);
  bool right = is_right(job);
  for (size_t r = 0; r < rows; r++) {
    const Span around = around_target(k + r, targets[r], length);
    for (const Byte* at = around.from; at < around.to; at++) {
      if ((at < targets[r] || at >= targets[r] + length) && *at != kCanary) right = false;
    }
  }
  if (!right) {
    std::printf("WRONG  %s: %zu rows of %zu, %zu bytes, offset %zu by %zu from the %s\n",
                level.name, rows, k, length, layout.offset, layout.step,
                layout.at_end ? "end" : "beginning");
  }
  return right;
}

constexpr Layout kLayouts[] = {
    {false, 0, 0}, {false, 1, 1}, {false, 5, 13}, {true, 0, 0}, {true, 0, 7}, {true, 31, 1},
};

bool check_lengths(const Level& level) {
  constexpr size_t kShapes[][2] = {{1, 1}, {2, 1}, {3, 2}, {5, 4}, {3, 9}};
  for (const auto& [k, rows] : kShapes) {
    Byte coefficients[64];
    for (size_t i = 0; i < k * rows; i++) coefficients[i] = random_byte();
    // A row of ones is a plain XOR, and a one or a zero elsewhere is none of that.
    if (rows > 1) std::memset(coefficients + k, 1, k);
    if (rows > 2) coefficients[0] = 1, coefficients[1] = 0;
    for (size_t length = 0; length <= 300; length++) {
      for (const Layout& layout : kLayouts) {
        if (!check(level, k, rows, coefficients, length, layout)) return false;
      }
    }
  }
  return true;
}

bool check_coefficients(const Level& level) {
  for (size_t first = 0; first < 256; first++) {
    const Byte coefficient = static_cast<Byte>(first);
    Byte all[256];
    const Byte* sources[1] = {all};
    for (size_t i = 0; i < 256; i++) all[i] = static_cast<Byte>(i);
    Byte out[256];
    Byte* targets[1] = {out};
    const Job job{&coefficient, 1, 1, sources, targets, 256};
    level.kernel(job);
    if (is_right(job)) continue;
    std::printf("WRONG  %s: products with %zu\n", level.name, first);
    return false;
  }
  return true;
}

bool check_shapes(const Level& level) {
  Byte coefficients[20 * 20];
  for (size_t rows = 1; rows <= 20; rows++) {
    const size_t k = 21 - rows;
    for (size_t i = 0; i < k * rows; i++) coefficients[i] = random_byte();
    for (const size_t length : {size_t{1000}, size_t{8192}, size_t{19999}}) {
      for (const Layout& layout : {kLayouts[2], kLayouts[3]}) {
        if (!check(level, k, rows, coefficients, length, layout)) return false;
      }
    }
    std::memset(coefficients, 1, k * rows);
    if (!check(level, k, rows, coefficients, 333, kLayouts[3])) return false;
  }
  return true;
}

size_t levels_to_check(Level* levels) {
#if defined(QUORATE_CHECK_EMULATED)
  size_t count = 0;
  levels[count++] = {"avx512-gfni", run_avx512_gfni};
  levels[count++] = {"avx2-gfni", run_avx2_gfni};
  levels[count++] = {"avx512", run_avx512};
  return count;
#else
  return available_levels(levels);
#endif
}

}  // namespace

int main() {
  Level levels[kLevelsMax];
  const size_t count = levels_to_check(levels);
  int failed = 0;
  for (size_t i = 0; i < count; i++) {
    const Level& level = levels[i];
    const bool right = check_coefficients(level) && check_lengths(level) && check_shapes(level);
    if (right) std::printf("right  %s\n", level.name);
    if (!right) failed++;
  }
  return failed == 0 ? 0 : 1;
}
