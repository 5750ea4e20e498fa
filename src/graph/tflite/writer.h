// A TFLite model while it is written: tensors, buffers, operators.
#pragma once

#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "base/flatbuffer_writer.h"
#include "graph/constant.h"

namespace skerry::graph::tflite {

struct NamedTensor {
  std::string name;
  int32_t tensor = 0;
};

class ModelWriter {
 public:
  ModelWriter();

  int32_t tensor(const std::string& name, const Type& type,
                 const std::optional<Quantisation>& reals);
  int32_t constant(const std::string& name, const Constant& constant,
                   const std::optional<Quantisation>& reals = {});
  // `options_type`: of the union of options; 0 where there are none.
  void node(int32_t code, int32_t version, const std::vector<int32_t>& inputs,
            const std::vector<int32_t>& outputs, uint8_t options_type = 0, FlatTable options = {});
  std::string finish(const std::string& name, const std::vector<NamedTensor>& inputs,
                     const std::vector<NamedTensor>& outputs);

 private:
  // A name that no tensor has yet: other tools tell tensors by it.
  std::string unique(const std::string& name);
  FlatTable described(const std::string& name, DataType type, const std::vector<int32_t>& shape,
                      const std::vector<int32_t>& signature, uint32_t buffer,
                      const std::optional<Quantisation>& reals);

  std::vector<FlatTable> tensors_, operators_, buffers_, codes_;
  std::set<std::string> names_;
  std::map<std::pair<int32_t, int32_t>, uint32_t> code_indices_;
};

// kUnsupported for those that the format does not have.
Result<int8_t> number_of(DataType type);

}  // namespace skerry::graph::tflite
