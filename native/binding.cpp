// The Node-API binding: checks every argument, pins the buffers, and runs a kernel at once or on libuv's pool.
//
//   version                                                   of this interface
//   levels                                                    names, the fastest first
//   run(level, coefficients, k, sources, targets)             computes the targets
//   runLater(level, coefficients, k, sources, targets)        a promise; the buffers are kept until it settles
//
// `sources` holds k buffers per stripe and `targets` a buffer per stripe and row of `coefficients`; all of a stripe
// have one length. A wrong argument is a TypeError or RangeError and nothing is written. What this cannot see: that
// a buffer is transferred to another thread while `runLater` works on it. Nobody may do that.
#define NAPI_VERSION 8
#include <node_api.h>

#include <cstdlib>
#include <cstring>
#include <new>

#include "kernel.hpp"

namespace {

using quorate::Byte;
using quorate::Job;
using quorate::Level;

constexpr std::uint32_t kVersion = 1;
constexpr size_t kShardsMax = 255;
// Bounds the memory that a call takes before it has looked at any buffer.
constexpr std::uint32_t kBuffersMax = 1 << 20;

// Asked once per environment: CPUID is slow in a virtual machine.
struct Levels {
  Level level[quorate::kLevelsMax];
  size_t count;
};

// One call of `run` or `runLater`, with everything a kernel needs and nothing of JavaScript.
struct Call {
  quorate::Kernel kernel = nullptr;
  Byte* coefficients = nullptr;
  size_t k = 0;
  size_t rows = 0;
  size_t stripes = 0;
  Byte** sources = nullptr;
  Byte** targets = nullptr;
  size_t* lengths = nullptr;
  // Of runLater only.
  napi_value pins = nullptr;
  napi_ref pinned = nullptr;
  napi_async_work work = nullptr;
  napi_deferred deferred = nullptr;

  ~Call() {
    std::free(coefficients);
    std::free(sources);
    std::free(targets);
    std::free(lengths);
  }

  void compute() const {
    for (size_t s = 0; s < stripes; s++) {
      if (lengths[s] == 0) continue;
      kernel({coefficients, k, rows, sources + s * k, targets + s * rows, lengths[s]});
    }
  }
};

bool refuse_type(napi_env env, const char* words) {
  napi_throw_type_error(env, nullptr, words);
  return false;
}

bool refuse_range(napi_env env, const char* words) {
  napi_throw_range_error(env, nullptr, words);
  return false;
}

// A whole number from `least` to `most`.
bool read_whole(napi_env env, napi_value value, size_t least, size_t most, size_t* out) {
  double number;
  if (napi_get_value_double(env, value, &number) != napi_ok) {
    return refuse_type(env, "a number was expected");
  }
  if (!(number >= static_cast<double>(least) && number <= static_cast<double>(most))) {
    return refuse_range(env, "a number is out of range");
  }
  *out = static_cast<size_t>(number);
  return static_cast<double>(*out) == number || refuse_range(env, "a number is not whole");
}

bool is_resizable(napi_env env, napi_value buffer) {
  napi_value property;
  bool resizable = false;
  if (napi_get_named_property(env, buffer, "resizable", &property) != napi_ok) return true;
  return napi_get_value_bool(env, property, &resizable) == napi_ok && resizable;
}

// The bytes of a Uint8Array. Memory that other threads write is refused, and, where the call goes on after it
// returned, memory that can shrink.
bool read_bytes(napi_env env, napi_value value, bool is_kept, Byte** bytes, size_t* length) {
  napi_typedarray_type type;
  napi_value buffer;
  void* data = nullptr;
  if (napi_get_typedarray_info(env, value, &type, length, &data, &buffer, nullptr) != napi_ok ||
      type != napi_uint8_array) {
    return refuse_type(env, "a Uint8Array was expected");
  }
  bool is_plain = false;
  if (napi_is_arraybuffer(env, buffer, &is_plain) != napi_ok || !is_plain) {
    return refuse_type(env, "a shard may not lie in shared memory");
  }
  if (is_kept && is_resizable(env, buffer)) {
    return refuse_type(env, "a shard may not lie in memory that can be resized");
  }
  *bytes = static_cast<Byte*>(data);
  return true;
}

template <class T>
bool allocate(napi_env env, size_t count, T** out) {
  *out = static_cast<T*>(std::calloc(count > 0 ? count : 1, sizeof(T)));
  if (*out != nullptr) return true;
  napi_throw_error(env, nullptr, "out of memory");
  return false;
}

bool read_coefficients(napi_env env, napi_value value, Call* call) {
  Byte* bytes = nullptr;
  size_t length = 0;
  if (!read_bytes(env, value, false, &bytes, &length)) return false;
  if (length % call->k != 0 || length / call->k > kShardsMax) {
    return refuse_range(env, "the coefficients are no rows of k");
  }
  call->rows = length / call->k;
  if (!allocate(env, length, &call->coefficients)) return false;
  std::memcpy(call->coefficients, bytes, length);
  return true;
}

bool read_count(napi_env env, napi_value list, std::uint32_t* count) {
  bool is_array = false;
  if (napi_is_array(env, list, &is_array) != napi_ok || !is_array) {
    return refuse_type(env, "an array of Uint8Arrays was expected");
  }
  if (napi_get_array_length(env, list, count) != napi_ok || *count > kBuffersMax) {
    return refuse_range(env, "too many buffers");
  }
  return true;
}

bool pin(napi_env env, Call* call, napi_value value, std::uint32_t at) {
  return call->pins == nullptr || napi_set_element(env, call->pins, at, value) == napi_ok ||
         refuse_type(env, "a buffer could not be pinned");
}

// Reads `per_stripe` buffers for each stripe. Each must have the length of its stripe, which the sources set.
bool read_buffers(napi_env env, napi_value list, size_t per_stripe, std::uint32_t pins_from,
                  bool sets_lengths, Call* call, Byte** out) {
  for (size_t i = 0; i < call->stripes * per_stripe; i++) {
    napi_value value;
    size_t length = 0;
    const auto at = static_cast<std::uint32_t>(i);
    if (napi_get_element(env, list, at, &value) != napi_ok) {
      return refuse_type(env, "a buffer could not be read");
    }
    if (!read_bytes(env, value, call->pins != nullptr, &out[i], &length)) return false;
    size_t* expected = &call->lengths[i / per_stripe];
    if (sets_lengths && i % per_stripe == 0) *expected = length;
    if (length != *expected) return refuse_range(env, "shards of one stripe have one length");
    if (!pin(env, call, value, pins_from + at)) return false;
  }
  return true;
}

bool overlap(const Byte* a, const Byte* b, size_t length) {
  const auto x = reinterpret_cast<std::uintptr_t>(a);
  const auto y = reinterpret_cast<std::uintptr_t>(b);
  return x < y + length && y < x + length;
}

// A target that overlaps another shard of its stripe would be read or written with half of it done.
bool check_overlaps(napi_env env, const Call& call) {
  for (size_t s = 0; s < call.stripes; s++) {
    for (size_t r = 0; r < call.rows; r++) {
      const Byte* target = call.targets[s * call.rows + r];
      bool overlaps = false;
      for (size_t j = 0; j < call.k; j++) {
        overlaps |= overlap(target, call.sources[s * call.k + j], call.lengths[s]);
      }
      for (size_t other = r + 1; other < call.rows; other++) {
        overlaps |= overlap(target, call.targets[s * call.rows + other], call.lengths[s]);
      }
      if (overlaps) return refuse_range(env, "a target overlaps another shard");
    }
  }
  return true;
}

bool read_shards(napi_env env, napi_value sources, napi_value targets, Call* call) {
  std::uint32_t source_count = 0;
  std::uint32_t target_count = 0;
  if (!read_count(env, sources, &source_count) || !read_count(env, targets, &target_count)) {
    return false;
  }
  call->stripes = source_count / call->k;
  if (source_count % call->k != 0 || target_count != call->stripes * call->rows) {
    return refuse_range(env, "the buffers are no whole stripes");
  }
  return allocate(env, source_count, &call->sources) &&
         allocate(env, target_count, &call->targets) &&
         allocate(env, call->stripes, &call->lengths) &&
         read_buffers(env, sources, call->k, 0, true, call, call->sources) &&
         read_buffers(env, targets, call->rows, source_count, false, call, call->targets) &&
         check_overlaps(env, *call);
}

bool read_call(napi_env env, napi_callback_info info, Call* call) {
  size_t count = 5;
  napi_value arguments[5];
  void* data = nullptr;
  if (napi_get_cb_info(env, info, &count, arguments, nullptr, &data) != napi_ok || count < 5) {
    return refuse_type(env, "five arguments were expected");
  }
  const auto* levels = static_cast<const Levels*>(data);
  size_t level = 0;
  if (!read_whole(env, arguments[0], 0, levels->count - 1, &level)) return false;
  call->kernel = levels->level[level].kernel;
  return read_whole(env, arguments[2], 1, kShardsMax, &call->k) &&
         read_coefficients(env, arguments[1], call) &&
         read_shards(env, arguments[3], arguments[4], call);
}

napi_value run(napi_env env, napi_callback_info info) {
  Call call;
  if (read_call(env, info, &call)) call.compute();
  return nullptr;
}

// Runs on a thread of the pool, where nothing of JavaScript may be touched.
void execute(napi_env, void* data) { static_cast<const Call*>(data)->compute(); }

void destroy(napi_env env, Call* call) {
  if (call->pinned != nullptr) napi_delete_reference(env, call->pinned);
  if (call->work != nullptr) napi_delete_async_work(env, call->work);
  call->~Call();
  std::free(call);
}

void complete(napi_env env, napi_status status, void* data) {
  auto* call = static_cast<Call*>(data);
  napi_value result;
  // Cancelled only when the environment is torn down: nobody waits any more.
  if (status == napi_ok && napi_get_undefined(env, &result) == napi_ok) {
    napi_resolve_deferred(env, call->deferred, result);
  }
  destroy(env, call);
}

bool start(napi_env env, Call* call, napi_value* promise) {
  napi_value name;
  return napi_create_reference(env, call->pins, 1, &call->pinned) == napi_ok &&
         napi_create_string_utf8(env, "quorate:erasure", NAPI_AUTO_LENGTH, &name) == napi_ok &&
         napi_create_async_work(env, nullptr, name, execute, complete, call, &call->work) ==
             napi_ok &&
         napi_create_promise(env, &call->deferred, promise) == napi_ok &&
         napi_queue_async_work(env, call->work) == napi_ok;
}

napi_value run_later(napi_env env, napi_callback_info info) {
  void* room = std::malloc(sizeof(Call));
  if (room == nullptr) {
    napi_throw_error(env, nullptr, "out of memory");
    return nullptr;
  }
  auto* call = new (room) Call();
  napi_value promise = nullptr;
  if (napi_create_array(env, &call->pins) == napi_ok && read_call(env, info, call)) {
    if (start(env, call, &promise)) return promise;
    napi_throw_error(env, nullptr, "the operation could not be started");
  }
  destroy(env, call);
  return nullptr;
}

void release_levels(napi_env, void* data, void*) { std::free(data); }

napi_value names_of(napi_env env, const Levels& levels) {
  napi_value names = nullptr;
  napi_create_array_with_length(env, levels.count, &names);
  for (size_t i = 0; i < levels.count; i++) {
    napi_value name = nullptr;
    napi_create_string_utf8(env, levels.level[i].name, NAPI_AUTO_LENGTH, &name);
    napi_set_element(env, names, static_cast<std::uint32_t>(i), name);
  }
  return names;
}

}  // namespace

NAPI_MODULE_INIT() {
  auto* levels = static_cast<Levels*>(std::malloc(sizeof(Levels)));
  if (levels == nullptr ||
      napi_set_instance_data(env, levels, release_levels, nullptr) != napi_ok) {
    napi_throw_error(env, nullptr, "out of memory");
    return nullptr;
  }
  levels->count = quorate::available_levels(levels->level);
  napi_value version = nullptr;
  napi_create_uint32(env, kVersion, &version);
  const napi_property_descriptor properties[] = {
      {"version", nullptr, nullptr, nullptr, nullptr, version, napi_enumerable, nullptr},
      {"levels", nullptr, nullptr, nullptr, nullptr, names_of(env, *levels), napi_enumerable,
       nullptr},
      {"run", nullptr, run, nullptr, nullptr, nullptr, napi_enumerable, levels},
      {"runLater", nullptr, run_later, nullptr, nullptr, nullptr, napi_enumerable, levels},
  };
  napi_define_properties(env, exports, sizeof(properties) / sizeof(properties[0]), properties);
  return exports;
}
