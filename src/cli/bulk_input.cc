// Files found and cut into items.
#include "cli/bulk_input.h"

#include <fmt/format.h>

#include <algorithm>
#include <limits>
#include <nlohmann/json.hpp>

#include "formats/json_ptr.h"
#include "io/files.h"
#include "tensor/npy.h"

namespace skerry::cli {
namespace {

using nlohmann::json;
using tensor::TensorSpec;

constexpr uint64_t kMaxFileBytes = uint64_t{4} << 30;
constexpr size_t kMaxItemBytes = 256 << 20;
constexpr int kMaxDepth = 18;

std::unexpected<Error> invalid(std::string message) {
  return fail(Code::kInvalidArgument, std::move(message));
}

// The shape of nested arrays, and their values one behind the other.
Result<void> flatten(const json& value, size_t depth, std::vector<int64_t>& shape, json& data) {
  if (!value.is_array()) {
    if (depth != shape.size()) return invalid("its rows have different depths");
    data.push_back(value);
    return {};
  }
  const auto size = static_cast<int64_t>(value.size());
  if (depth == shape.size() && data.empty()) {
    shape.push_back(size);
  } else if (depth >= shape.size() || shape[depth] != size) {
    return invalid("its rows have different lengths");
  }
  for (const json& each : value) SKERRY_TRY(flatten(each, depth + 1, shape, data));
  return {};
}

// A tensor of one dimension less than the model wants is one row.
void add_row_dimension(const TensorSpec& spec, std::vector<int64_t>& shape) {
  if (spec.shape.size() == shape.size() + 1) shape.insert(shape.begin(), 1);
}

}  // namespace

Result<BulkInput> BulkInput::open(const std::string& path, std::vector<TensorSpec> model) {
  BulkInput input;
  input.model_ = std::move(model);
  io::RealFiles files;
  SKERRY_ASSIGN(const io::FileInfo info, files.stat(path));
  Result<void> opened;
  if (info.is_directory) {
    opened = input.open_directory(path);
  } else if (path.ends_with(".npy")) {
    opened = input.open_rows(path);
  } else if (path.ends_with(".jsonl") || path.ends_with(".csv")) {
    opened = input.open_lines(path, path.ends_with(".csv"));
  } else {
    opened = invalid("is no folder and neither .npy, .jsonl nor .csv");
  }
  if (!opened) return fail(opened.error().with_context(path));
  return input;
}

Result<void> BulkInput::open_directory(const std::string& path) {
  io::RealFiles files;
  directory_ = path;
  SKERRY_ASSIGN(const auto names, files.list(path));
  for (const std::string& name : names) {
    if (name.starts_with('.')) continue;
    if (!name.ends_with(".npy") && !name.ends_with(".json")) {
      return invalid(fmt::format("{} is neither .npy nor .json", name));
    }
    files_.push_back(name);
  }
  return {};
}

Result<void> BulkInput::open_rows(const std::string& path) {
  io::RealFiles files;
  SKERRY_ASSIGN(const std::string bytes, io::read_file(files, path, kMaxFileBytes));
  SKERRY_ASSIGN(rows_, tensor::parse_npy(bytes));
  if (rows_->shape.empty()) return invalid("it holds one number, not rows");
  if (model_.size() != 1) {
    return invalid(
        fmt::format("the model has {} inputs; give them as FILE.jsonl or a folder of "
                    ".json files",
                    model_.size()));
  }
  return {};
}

Result<void> BulkInput::open_lines(const std::string& path, bool is_csv) {
  io::RealFiles files;
  SKERRY_ASSIGN(text_, io::read_file(files, path, kMaxFileBytes));
  is_csv_ = is_csv;
  for (size_t at = 0; at < text_.size();) {
    const size_t end = std::min(text_.find('\n', at), text_.size());
    const bool is_blank = text_.find_first_not_of(" \t\r", at) >= end;
    if (!is_blank) lines_.emplace_back(at, end - at);
    at = end + 1;
  }
  if (is_csv && !lines_.empty()) {
    const std::string first = text_.substr(lines_[0].first, lines_[0].second);
    if (!json::accept("[" + first + "]")) lines_.erase(lines_.begin());
  }
  return {};
}

size_t BulkInput::size() const {
  if (rows_) return static_cast<size_t>(rows_->shape[0]);
  return std::max(lines_.size(), files_.size());
}

std::string BulkInput::name(size_t item) const {
  return files_.empty() ? std::to_string(item) : files_[item];
}

size_t BulkInput::most_at_once() const {
  const bool takes_rows =
      rows_ && model_[0].shape.size() == rows_->shape.size() && model_[0].shape[0] == -1;
  return takes_rows ? std::numeric_limits<size_t>::max() : 1;
}

Result<BulkInput::Request> BulkInput::of_tensor(const tensor::TensorView& tensor) const {
  const json input = {{"name", model_[0].name},
                      {"datatype", tensor::name_of(tensor.type)},
                      {"shape", std::vector(tensor.shape.begin(), tensor.shape.end())},
                      {"parameters", {{"binary_data_size", tensor.bytes.size()}}}};
  Request request{formats::json_text(json::array({input})), {}};
  request.binary.assign(reinterpret_cast<const char*>(tensor.bytes.data()), tensor.bytes.size());
  return request;
}

Result<BulkInput::Request> BulkInput::of_json(std::string_view text) const {
  SKERRY_ASSIGN(json item,
                formats::parse_json(text, {.size_bytes = kMaxItemBytes, .depth = kMaxDepth}));
  if (!item.is_object()) {
    if (model_.size() != 1) return invalid("it must be an object with each of the model's inputs");
    item = json{{model_[0].name, std::move(item)}};
  }
  json inputs = json::array();
  for (const auto& [name, value] : item.items()) {
    const auto spec = std::ranges::find(model_, name, &TensorSpec::name);
    if (spec == model_.end()) return invalid(fmt::format("the model has no input '{}'", name));
    std::vector<int64_t> shape;
    json data = json::array();
    auto flat = flatten(value, 0, shape, data);
    if (!flat) return fail(flat.error().with_context(fmt::format("input '{}'", name)));
    add_row_dimension(*spec, shape);
    inputs.push_back({{"name", name},
                      {"datatype", tensor::name_of(spec->type)},
                      {"shape", shape},
                      {"data", std::move(data)}});
  }
  return Request{formats::json_text(inputs), {}};
}

Result<BulkInput::Request> BulkInput::read(size_t first, size_t count) const {
  if (rows_) {
    std::vector<int64_t> shape = rows_->shape;
    const size_t row_bytes = rows_->bytes.size() / static_cast<size_t>(shape[0]);
    shape[0] = static_cast<int64_t>(count);
    if (model_[0].shape.size() + 1 == shape.size()) shape.erase(shape.begin());
    return of_tensor({model_[0].name, rows_->type, shape,
                      std::span(rows_->bytes).subspan(first * row_bytes, count * row_bytes)});
  }
  if (!lines_.empty()) {
    const std::string_view line =
        std::string_view(text_).substr(lines_[first].first, lines_[first].second);
    return is_csv_ ? of_json(fmt::format("[{}]", line)) : of_json(line);
  }
  io::RealFiles files;
  const std::string path = directory_ + "/" + files_[first];
  SKERRY_ASSIGN(const std::string bytes, io::read_file(files, path, kMaxItemBytes));
  if (path.ends_with(".json")) return of_json(bytes);
  if (model_.size() != 1) return invalid("the model has several inputs; give them as .json");
  SKERRY_ASSIGN(tensor::Tensor tensor, tensor::parse_npy(bytes));
  add_row_dimension(model_[0], tensor.shape);
  return of_tensor(tensor.view());
}

}  // namespace skerry::cli
