// The numbers are the positions of fields in their tables, as in schema.cc.
#include "graph/tflite/writer.h"

#include <algorithm>

namespace skerry::graph::tflite {
namespace {

constexpr size_t kBufferAlignment = 16;

}  // namespace

Result<int8_t> number_of(DataType type) {
  switch (type) {
    case DataType::kFp32:
      return 0;
    case DataType::kFp16:
      return 1;
    case DataType::kInt32:
      return 2;
    case DataType::kUint8:
      return 3;
    case DataType::kInt64:
      return 4;
    case DataType::kInt8:
      return 9;
    default:
      return fail(Code::kUnsupported,
                  "elements of " + std::string(tensor::name_of(type)) + " are not exported");
  }
}

ModelWriter::ModelWriter() {
  buffers_.emplace_back();  // of everything that is computed
}

std::string ModelWriter::unique(const std::string& name) {
  std::string one = name;
  for (int i = 2; !names_.insert(one).second; ++i) one = name + "_" + std::to_string(i);
  return one;
}

FlatTable ModelWriter::described(const std::string& name, DataType type,
                                 const std::vector<int32_t>& shape,
                                 const std::vector<int32_t>& signature, uint32_t buffer,
                                 const std::optional<Quantisation>& reals) {
  FlatTable table;
  table.list<int32_t>(0, shape);
  table.scalar<int8_t>(1, number_of(type).value_or(0));
  table.scalar<uint32_t>(2, buffer);
  table.text(3, unique(name));
  if (reals) {
    FlatTable quantisation;
    quantisation.list<float>(2, reals->scales);
    quantisation.list<int64_t>(3, reals->zero_points);
    quantisation.scalar<int32_t>(6, static_cast<int32_t>(reals->axis));
    table.table(4, std::move(quantisation));
  }
  if (!signature.empty()) table.list<int32_t>(7, signature);
  return table;
}

int32_t ModelWriter::tensor(const std::string& name, const Type& type,
                            const std::optional<Quantisation>& reals) {
  std::vector<int32_t> shape;
  std::vector<int32_t> signature;
  bool open = false;
  for (const Dim& dim : *type.shape) {
    shape.push_back(dim.is_fixed() ? static_cast<int32_t>(dim.size()) : 1);
    signature.push_back(dim.is_fixed() ? shape.back() : -1);
    open = open || !dim.is_fixed();
  }
  if (!open) signature.clear();
  tensors_.push_back(described(name, type.element, shape, signature, 0, reals));
  return static_cast<int32_t>(tensors_.size()) - 1;
}

int32_t ModelWriter::constant(const std::string& name, const Constant& constant,
                              const std::optional<Quantisation>& reals) {
  FlatTable buffer;
  buffer.list<std::byte>(0, constant.bytes(), kBufferAlignment);
  buffers_.push_back(std::move(buffer));
  const std::vector<int32_t> shape(constant.shape().begin(), constant.shape().end());
  tensors_.push_back(described(name, constant.type(), shape, {},
                               static_cast<uint32_t>(buffers_.size()) - 1, reals));
  return static_cast<int32_t>(tensors_.size()) - 1;
}

void ModelWriter::node(int32_t code, int32_t version, const std::vector<int32_t>& inputs,
                       const std::vector<int32_t>& outputs, uint8_t options_type,
                       FlatTable options) {
  const auto [index, added] =
      code_indices_.try_emplace({code, version}, static_cast<uint32_t>(codes_.size()));
  if (added) {
    FlatTable table;
    table.scalar<int8_t>(0, static_cast<int8_t>(std::min(code, 127)));
    table.scalar<int32_t>(2, version);
    table.scalar<int32_t>(3, code);
    codes_.push_back(std::move(table));
  }
  FlatTable made;
  made.scalar<uint32_t>(0, index->second);
  made.list<int32_t>(1, inputs);
  made.list<int32_t>(2, outputs);
  if (options_type != 0) {
    made.scalar<uint8_t>(3, options_type);
    made.table(4, std::move(options));
  }
  operators_.push_back(std::move(made));
}

namespace {

std::vector<int32_t> tensors_of(const std::vector<NamedTensor>& named) {
  std::vector<int32_t> tensors;
  for (const NamedTensor& one : named) tensors.push_back(one.tensor);
  return tensors;
}

std::vector<FlatTable> maps_of(const std::vector<NamedTensor>& named) {
  std::vector<FlatTable> maps;
  for (const NamedTensor& one : named) {
    FlatTable map;
    map.text(0, one.name);
    map.scalar<uint32_t>(1, static_cast<uint32_t>(one.tensor));
    maps.push_back(std::move(map));
  }
  return maps;
}

// By which callers name inputs and outputs.
std::vector<FlatTable> signature_of(const std::vector<NamedTensor>& inputs,
                                    const std::vector<NamedTensor>& outputs) {
  FlatTable signature;
  signature.tables(0, maps_of(inputs));
  signature.tables(1, maps_of(outputs));
  signature.text(2, "serving_default");
  std::vector<FlatTable> all;
  all.push_back(std::move(signature));
  return all;
}

}  // namespace

std::string ModelWriter::finish(const std::string& name, const std::vector<NamedTensor>& inputs,
                                const std::vector<NamedTensor>& outputs) {
  FlatTable graph;
  graph.tables(0, std::move(tensors_));
  graph.list<int32_t>(1, tensors_of(inputs));
  graph.list<int32_t>(2, tensors_of(outputs));
  graph.tables(3, std::move(operators_));
  graph.text(4, name);
  FlatTable model;
  model.scalar<uint32_t>(0, 3);
  model.tables(1, std::move(codes_));
  std::vector<FlatTable> graphs;
  graphs.push_back(std::move(graph));
  model.tables(2, std::move(graphs));
  model.text(3, "skerry");
  model.tables(4, std::move(buffers_));
  model.tables(7, signature_of(inputs, outputs));
  return model.serialised("TFL3");
}

}  // namespace skerry::graph::tflite
