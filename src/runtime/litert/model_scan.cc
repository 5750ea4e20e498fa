// Walks the FlatBuffer of a model (schema.fbs of TensorFlow Lite, version 3) without building it.
// Every position is checked: LiteRT's own check comes later and looks at less.
#include "runtime/litert/model_scan.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cstdint>

#include "base/flatbuffer.h"

namespace skerry::runtime {
namespace {

// Positions of fields in their tables.
constexpr unsigned kModelVersion = 0, kModelOperatorCodes = 1, kModelSubgraphs = 2,
                   kModelBuffers = 4, kModelExternalGroups = 8, kModelExternalBuffers = 9;
constexpr unsigned kCodeOld = 0, kCodeCustom = 1, kCode = 3;
constexpr unsigned kGraphTensors = 0, kGraphInputs = 1, kGraphOutputs = 2, kGraphOperators = 3;
constexpr unsigned kTensorBuffer = 2;
constexpr unsigned kOperatorCode = 0, kOperatorInputs = 1, kOperatorOutputs = 2;
constexpr unsigned kBufferData = 0, kBufferOffset = 1, kBufferSize = 2;

constexpr uint32_t kVersion = 3;
constexpr int64_t kCustom = 32;
constexpr int64_t kLastKnown = 161;

// Operators whose time or output size depends on values: on those of the inputs first…last, where
// they are no constants of the model, or always (kAlways).
struct ByValue {
  int64_t code;
  size_t first;
  size_t last;
};
constexpr size_t kAlways = SIZE_MAX;
constexpr std::array<ByValue, 44> kByValue = {{
    {22, 1, 1},                   // RESHAPE
    {23, 1, 1},                   // RESIZE_BILINEAR
    {31, kAlways, kAlways},       // CALL
    {kCustom, kAlways, kAlways},  // CUSTOM
    {34, 1, 1},                   // PAD
    {37, 1, 2},                   // BATCH_TO_SPACE_ND
    {38, 1, 2},                   // SPACE_TO_BATCH_ND
    {45, 1, 3},                   // STRIDED_SLICE
    {48, 1, 1},                   // TOPK_V2
    {51, kAlways, kAlways},       // DELEGATE
    {60, 1, 1},                   // PADV2
    {65, 1, 2},                   // SLICE
    {67, 0, 0},                   // TRANSPOSE_CONV
    {68, 1, 1},                   // SPARSE_TO_DENSE
    {69, 1, 1},                   // TILE
    {85, 1, 1},                   // ONE_HOT
    {94, 0, 0},                   // FILL
    {96, kAlways, kAlways},       // RANGE
    {97, 1, 1},                   // RESIZE_NEAREST_NEIGHBOR
    {100, 1, 1},                  // MIRROR_PAD
    {102, 1, 1},                  // SPLIT_V
    {103, kAlways, kAlways},      // UNIQUE
    {109, kAlways, kAlways},      // WHERE
    {118, kAlways, kAlways},      // IF
    {119, kAlways, kAlways},      // WHILE
    {120, kAlways, kAlways},      // NON_MAX_SUPPRESSION_V4
    {121, kAlways, kAlways},      // NON_MAX_SUPPRESSION_V5
    {122, 2, 2},                  // SCATTER_ND
    {125, kAlways, kAlways},      // SEGMENT_SUM
    {129, kAlways, kAlways},      // CALL_ONCE
    {130, 1, 1},                  // BROADCAST_TO
    {131, 1, 1},                  // RFFT2D
    {136, kAlways, kAlways},      // HASHTABLE
    {137, kAlways, kAlways},      // HASHTABLE_FIND
    {138, kAlways, kAlways},      // HASHTABLE_IMPORT
    {141, 0, 0},                  // CONV_3D_TRANSPOSE
    {145, kAlways, kAlways},      // BROADCAST_ARGS
    {146, kAlways, kAlways},      // RANDOM_STANDARD_NORMAL
    {148, kAlways, kAlways},      // RANDOM_UNIFORM
    {149, kAlways, kAlways},      // MULTINOMIAL
    {153, 2, 2},                  // UNSORTED_SEGMENT_PROD
    {154, 2, 2},                  // UNSORTED_SEGMENT_MAX
    {155, 2, 2},                  // UNSORTED_SEGMENT_SUM
    {157, 2, 2},                  // UNSORTED_SEGMENT_MIN
}};

class Scanner {
 public:
  explicit Scanner(std::string_view bytes) : file_(bytes) {}

  Result<TfliteScan> scan() {
    const size_t model = file_.follow(0);
    if (file_.size() < 8 || file_.read<uint32_t>(4) != 0x334c4654 ||  // "TFL3"
        file_.scalar<uint32_t>(model, kModelVersion) != kVersion) {
      return fail(Code::kCorrupt, "the file is damaged or no TensorFlow Lite model of version 3");
    }
    if (file_.field(model, kModelExternalGroups) || file_.field(model, kModelExternalBuffers)) {
      return fail(Code::kUnsupported,
                  "tensors have their data in another file; save the model with all data inside");
    }
    read_codes(model);
    read_buffers(model);
    const auto graphs = file_.vector(model, kModelSubgraphs, 4);
    if (graphs.count == 0) file_.refuse();
    for (size_t i = 0; file_.ok() && i < graphs.count; ++i) {
      read_graph(file_.follow(graphs.first + 4 * i));
    }
    if (!file_.ok()) {
      return fail(Code::kCorrupt, "the file is damaged: what it refers to is not in it");
    }
    std::ranges::sort(result_.custom_operators);
    return std::move(result_);
  }

 private:
  void read_codes(size_t model) {
    const auto codes = file_.vector(model, kModelOperatorCodes, 4);
    for (size_t i = 0; file_.ok() && i < codes.count; ++i) {
      const size_t table = file_.follow(codes.first + 4 * i);
      // Codes over 127 came later, in a field of their own.
      const int64_t code = std::max<int64_t>(file_.scalar<int8_t>(table, kCodeOld),
                                             file_.scalar<int32_t>(table, kCode));
      if (code == kCustom) result_.custom_operators.emplace_back(file_.string(table, kCodeCustom));
      codes_.push_back(code);
    }
  }

  void read_buffers(size_t model) {
    const auto buffers = file_.vector(model, kModelBuffers, 4);
    for (size_t i = 0; file_.ok() && i < buffers.count; ++i) {
      const size_t table = file_.follow(buffers.first + 4 * i);
      const size_t inside = file_.vector(table, kBufferData, 1).count;
      // Behind the FlatBuffer, in models over 2 GiB; 0 and 1 mean that it is inside.
      const auto offset = file_.scalar<uint64_t>(table, kBufferOffset);
      const auto size = file_.scalar<uint64_t>(table, kBufferSize);
      const bool is_behind = offset > 1;
      if (is_behind && (offset > file_.size() || size > file_.size() - offset)) file_.refuse();
      has_data_.push_back(inside > 0 || (is_behind && size > 0));
    }
  }

  // Indices into `count` things; -1 is an operator's optional input that is not there.
  FlatBuffer::Vector indices(size_t table, unsigned field, size_t count) {
    const auto list = file_.vector(table, field, 4);
    for (size_t i = 0; file_.ok() && i < list.count; ++i) {
      const auto index = file_.read<int32_t>(list.first + 4 * i);
      if (index < -1 || (index >= 0 && static_cast<size_t>(index) >= count)) file_.refuse();
    }
    return list;
  }

  void read_graph(size_t graph) {
    const auto tensors = file_.vector(graph, kGraphTensors, 4);
    std::vector<bool> is_constant;
    for (size_t i = 0; file_.ok() && i < tensors.count; ++i) {
      const size_t tensor = file_.follow(tensors.first + 4 * i);
      const auto buffer = file_.scalar<uint32_t>(tensor, kTensorBuffer);
      if (buffer >= has_data_.size()) return file_.refuse();
      is_constant.push_back(has_data_[buffer]);
    }
    indices(graph, kGraphInputs, tensors.count);
    indices(graph, kGraphOutputs, tensors.count);
    const auto operators = file_.vector(graph, kGraphOperators, 4);
    for (size_t i = 0; file_.ok() && i < operators.count; ++i) {
      read_operator(file_.follow(operators.first + 4 * i), is_constant);
    }
  }

  void read_operator(size_t table, const std::vector<bool>& is_constant) {
    const auto code = file_.scalar<uint32_t>(table, kOperatorCode);
    const auto inputs = indices(table, kOperatorInputs, is_constant.size());
    indices(table, kOperatorOutputs, is_constant.size());
    if (code >= codes_.size()) return file_.refuse();
    if (!file_.ok()) return;
    const auto by_value = std::ranges::find(kByValue, codes_[code], &ByValue::code);
    if (codes_[code] > kLastKnown) result_.is_bounded = false;
    if (by_value == kByValue.end()) return;
    if (by_value->first == kAlways) result_.is_bounded = false;
    // An input that is left out, as RESHAPE's may be, stands in the operator's options.
    for (size_t i = by_value->first; i <= by_value->last && i < inputs.count; ++i) {
      const auto index = file_.read<int32_t>(inputs.first + 4 * i);
      if (index >= 0 && !is_constant[static_cast<size_t>(index)]) result_.is_bounded = false;
    }
  }

  FlatBuffer file_;
  std::vector<int64_t> codes_;
  std::vector<bool> has_data_;  // of each buffer
  TfliteScan result_;
};

}  // namespace

Result<TfliteScan> scan_tflite(std::string_view model) {
  return Scanner(model).scan();
}

}  // namespace skerry::runtime
