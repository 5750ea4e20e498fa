// A lowered model: what lies where, and the calls that a run is made of.
//
//   Storage ◄── View (shape, order of its axes) ◄── Step (reads, writes, a call as C++ text)
//
// A storage is a dense block of numbers, or an image with room for padding around it. A view is how
// a value of the graph is seen in it: transposing one costs nothing, as only the order changes, and
// neither does reshaping where no padding is in the way. Where a step needs more, such as channels
// last, lowering makes a copy step before it. Room for padding grows while later steps ask for it,
// so calls are written as text at the end.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "compile/target.h"
#include "compile/way.h"
#include "graph/constant.h"
#include "graph/graph.h"

namespace skerry::compile {

using tensor::DataType;

enum class Place { kArena, kInput, kOutput, kConstant, kState };

struct Storage {
  std::string name;
  DataType type = DataType::kFp32;
  std::vector<int64_t> dims;    // sizes in memory, outermost first
  std::vector<int64_t> before;  // padding along each
  std::vector<int64_t> after;
  int64_t padding_value = 0;
  bool is_image = false;  // may have padding along its second and third of four dimensions
  bool is_dense = false;  // may not any more: a view takes it as a row of numbers
  Place place = Place::kArena;
  size_t index = 0;   // of the input or output
  size_t offset = 0;  // in the arena, the constants or the state: set by plan() for the arena
  std::optional<size_t> same_as = {};  // lives in the memory of another one (in place)

  int64_t size_bytes() const;  // with padding
  int64_t stride(size_t dim) const;
  int64_t origin() const;  // the offset in elements of the first one inside
  bool has_padding() const;
};

struct View {
  size_t storage = 0;
  std::vector<int64_t> shape;   // of the value
  std::vector<size_t> axes;     // for each dimension of the value, its place among `dims`
  std::vector<int64_t> dims;    // sizes in memory: those of the storage, or a dense reshaping
  std::vector<int64_t> starts;  // empty, or where a slice begins along `dims`
  bool reshaped = false;        // dims are not those of the storage
};

// One of several shares of a step, of nearly equal sizes.
struct Share {
  int64_t number = 0, of = 1;
};
// What of `count` units is in the share; `unit` at a time but for the last ones.
struct Range {
  int64_t first = 0, count = 0;
};
Range range_of(const Share& share, int64_t count, int64_t unit = 1);

inline constexpr const char* kQuantiseDynamic = "quantise dynamic";  // a step's kernel

struct Step {
  std::string kernel;              // for people: "conv 16×4×6"
  std::vector<std::string> nodes;  // of the graph that it computes
  int64_t macs = 0;
  bool is_reference = false;                // plain loops instead of a kernel
  int64_t constant_bytes = 0;               // of the model, that it reads
  std::optional<int64_t> value_bytes = {};  // that it reads and writes; else all of its storages
  std::vector<size_t> reads;
  std::vector<size_t> writes;
  bool is_exact = false;  // to the last bit what the reference executor computes
  bool may_fail = false;  // its call returns with a code
  bool in_place = false;  // may write the first storage into the memory of the first it reads
  std::function<std::string()> call = {};
  // The same of a step that several threads can share: they write different bytes, and nobody reads
  // what another one writes. "" where a share is empty.
  std::function<std::string(const Share&)> shared_call = {};
  int64_t shares = 1;  // that it is made of

  std::string text(const Share& share = {}) const;
};

// Numbers of the model in the order in which they are read, each part aligned to 64 bytes.
class Constants {
 public:
  size_t add(std::span<const std::byte> bytes);
  template <class T>
  size_t add_all(const std::vector<T>& values) {
    return add(std::as_bytes(std::span(values)));
  }
  const tensor::Bytes& bytes() const { return bytes_; }

 private:
  tensor::Bytes bytes_;
};

struct Program {
  const Target* target = nullptr;
  bool may_be_sparse = true;  // weights of zero may be left out
  int64_t max_threads = 1;    // and shares of a step
  std::string name;
  std::vector<Storage> storages;
  std::vector<Step> steps;
  std::vector<Choice> choices;  // in the order of the steps
  std::vector<size_t> inputs;   // storages
  std::vector<size_t> outputs;
  std::vector<size_t> states;  // as the interface's
  size_t state_bytes = 0;
  Constants constants;
  size_t stages_at = 0;          // in the arena, where threads meet (kernels/stages.h)
  size_t arena_bytes = 0;        // with room behind for vectors that read over the end
  size_t arena_lower_bound = 0;  // what is alive at once, at the worst step

  bool is_shared() const;  // some step is
  // Steps that threads go through together: one that is shared, or several that are not.
  std::vector<std::vector<size_t>> stages() const;

  // Steps of the view in memory, in elements, by dimension of the value.
  std::vector<int64_t> strides(const View& view) const;
  int64_t origin(const View& view) const;
  bool is_row_major(const View& view) const;  // dense, in the order of its shape
  const Storage& storage(const View& view) const { return storages[view.storage]; }
  int64_t bytes_seen(const View& view) const;  // of the elements, without what lies between them
  int64_t value_bytes(const Step& step) const;
  // "reinterpret_cast<float*>(arena + 128)", with the origin of the view.
  std::string pointer(const View& view, bool writes) const;
};

// As C++ text: "0x1.8p+0f", "__builtin_inff()".
std::string literal(float number);

std::string_view c_type(DataType type);  // "float", "uint8_t"

}  // namespace skerry::compile
