// The loops around the instructions, for a Vector that says how an instruction set loads, multiplies and stores.
//
// Dot-product form: a block of each source is read once, its products are added up for several rows in registers,
// and each target is stored once. A row of ones (the parity of RS(k, 1) for k of 1 and from 3 on, and the first of
// RS(3, m)) is a plain XOR beside the others. Where the rows need several passes, the columns are cut into slices
// that stay in the cache between the passes.
//
// Included inside an anonymous namespace only (see kernel.hpp), after <cstring> and "field.hpp". A Vector has
//   kBytes      of one block
//   kRows       how many rows with products its registers hold, at most 6
//   Sum         the sum of a block, zero when made
//   Block       a block of a source, made from its address, ready to be multiplied
//   add(sum, block), add_product(sum, block, c), store(address, sum)

// What the slices of all shards together may take of the second-level cache.
constexpr size_t kSlicesBytes = 128 * 1024;

// Rows that are computed together: at most one of ones, and some with products.
struct Pass {
  bool has_ones = false;
  Byte* ones_target = nullptr;
  size_t products = 0;
  const Byte* rows[6];
  Byte* targets[6];
};

// Shares the rows of a job out to passes, as evenly as it goes.
class Passes {
 public:
  Passes(const Job& job, size_t rows_max) : job_(job) {
    size_t ones = 0;
    for (size_t r = 0; r < job.rows; r++) {
      is_ones_[r] = are_ones(job.coefficients + r * job.k, job.k);
      ones += is_ones_[r];
    }
    const size_t products = job.rows - ones;
    const size_t passes = (products + rows_max - 1) / rows_max;
    count_ = passes > ones ? passes : ones;
    products_per_pass_ = passes == 0 ? 0 : (products + passes - 1) / passes;
  }

  size_t count() const { return count_; }

  void rewind() { next_ones_ = next_products_ = 0; }

  Pass next() {
    Pass pass;
    while (next_ones_ < job_.rows && !is_ones_[next_ones_]) next_ones_++;
    if (next_ones_ < job_.rows) {
      pass.has_ones = true;
      pass.ones_target = job_.targets[next_ones_++];
    }
    for (; next_products_ < job_.rows && pass.products < products_per_pass_; next_products_++) {
      if (is_ones_[next_products_]) continue;
      pass.rows[pass.products] = job_.coefficients + next_products_ * job_.k;
      pass.targets[pass.products++] = job_.targets[next_products_];
    }
    return pass;
  }

 private:
  static bool are_ones(const Byte* row, size_t k) {
    for (size_t j = 0; j < k; j++) {
      if (row[j] != 1) return false;
    }
    return true;
  }

  const Job& job_;
  bool is_ones_[256];
  size_t count_;
  size_t products_per_pass_;
  size_t next_ones_ = 0;
  size_t next_products_ = 0;
};

template <class Vector, int kProducts, bool kOnes>
inline void run_block(const Pass& pass, const Job& job, size_t at) {
  typename Vector::Sum sums[kProducts > 0 ? kProducts : 1];
  typename Vector::Sum plain;
  for (size_t j = 0; j < job.k; j++) {
    const typename Vector::Block block(job.sources[j] + at);
    if (kOnes) Vector::add(plain, block);
    for (int r = 0; r < kProducts; r++) Vector::add_product(sums[r], block, pass.rows[r][j]);
  }
  if (kOnes) Vector::store(pass.ones_target + at, plain);
  for (int r = 0; r < kProducts; r++) Vector::store(pass.targets[r] + at, sums[r]);
}

// Columns [from, to) of shards that are at least one block long. The last block overlaps what comes before it:
// sources do not change, so a column that is computed twice is the same twice.
template <class Vector, int kProducts, bool kOnes>
void run_columns(const Pass& pass, const Job& job, size_t from, size_t to) {
  size_t at = from;
  for (; at + Vector::kBytes <= to; at += Vector::kBytes) {
    run_block<Vector, kProducts, kOnes>(pass, job, at);
  }
  if (at < to) run_block<Vector, kProducts, kOnes>(pass, job, to - Vector::kBytes);
}

template <class Vector, int kProducts>
void run_pass(const Pass& pass, const Job& job, size_t from, size_t to) {
  if (pass.products != static_cast<size_t>(kProducts)) {
    if constexpr (kProducts > 0) run_pass<Vector, kProducts - 1>(pass, job, from, to);
  } else if (pass.has_ones) {
    run_columns<Vector, kProducts, true>(pass, job, from, to);
  } else if constexpr (kProducts > 0) {
    run_columns<Vector, kProducts, false>(pass, job, from, to);
  }
}

// A job whose shards are at least one block long.
template <class Vector>
void run_blocks(const Job& job) {
  Passes passes(job, Vector::kRows);
  size_t slice = job.length;
  if (passes.count() > 1) {
    slice = kSlicesBytes / (job.k + job.rows) / Vector::kBytes * Vector::kBytes;
    if (slice < 4 * Vector::kBytes) slice = 4 * Vector::kBytes;
  }
  for (size_t from = 0; from < job.length; from += slice) {
    const size_t to = job.length - from < slice ? job.length : from + slice;
    passes.rewind();
    for (size_t i = 0; i < passes.count(); i++) {
      run_pass<Vector, Vector::kRows>(passes.next(), job, from, to);
    }
  }
}

// Any job: in wide blocks, in narrow ones when the shards are shorter than that, or byte by byte.
template <class Wide, class Narrow>
void run_job(const Job& job) {
  if (job.length >= Wide::kBytes) {
    run_blocks<Wide>(job);
  } else if (job.length >= Narrow::kBytes) {
    run_blocks<Narrow>(job);
  } else {
    run_bytes(job);
  }
}
