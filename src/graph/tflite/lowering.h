// What the functions that bring TFLite's operators to a graph see: the operator at hand, its values
// as they are or as reals, and nodes to make.
//
// TFLite's images have channels last, ONNX's first. A value of four dimensions may have a twin with
// channels first, made where the first operator asks for it; operators that do not care work on
// twins where all their inputs have them, so that transposes stay at the ends of a network.
#pragma once

#include <fmt/format.h>

#include <map>
#include <unordered_map>

#include "graph/inference.h"
#include "graph/tflite/schema.h"

namespace skerry::graph::tflite {

class Lowering;

struct Row {
  int32_t code;
  const char* name;
  Result<void> (*lower)(Lowering&);
  Op op = "Identity";  // what it becomes, where one function is for several
  bool has_output = true;
};

class Lowering {
 public:
  Lowering(const ModelTable& model, FlatBuffer& file, std::shared_ptr<const void> owner)
      : model_(model), file_(file), owner_(std::move(owner)) {}

  Result<std::unique_ptr<Graph>> run();

  // --- The operator at hand ---------------------------------------------------------------------
  int32_t code() const;
  Op op() const { return row_->op; }
  size_t input_count() const { return node_->inputs.size(); }
  size_t output_count() const { return node_->outputs.size(); }
  bool has(size_t i) const { return i < node_->inputs.size() && node_->inputs[i] >= 0; }
  const TensorTable& in_table(size_t i) const;  // of one that is there
  const TensorTable& out_table(size_t i = 0) const;
  // How what it makes inside is quantised; null where nothing is said.
  const TensorTable* intermediate(size_t i) const;
  int64_t option(unsigned index, int64_t otherwise = 0);  // these: of its table of options
  int8_t small_option(unsigned index, int8_t otherwise = 0);
  float real_option(unsigned index, float otherwise = 0);
  std::vector<int64_t> list_option(unsigned index);
  std::string text_option(unsigned index);
  template <class... Args>
  std::unexpected<Error> refuse(fmt::format_string<Args...> text, Args&&... args) const {
    return fail(Code::kUnsupported, fmt::format(text, std::forward<Args>(args)...));
  }

  // --- Values -----------------------------------------------------------------------------------
  Result<Value*> in(size_t i);                  // as it is
  Result<Value*> real(size_t i);                // FP32: a quantised one through DequantizeLinear
  Result<std::vector<int64_t>> ints(size_t i);  // of a constant
  Value* scalar(float value);
  Value* scalar_int(int64_t value);
  Value* list(const std::vector<int64_t>& values);
  Value* constant(std::string name, Constant constant);
  // Constants: one scale and zero point, or one for each channel.
  // `tensor` is one of the model's own tables.
  Value* scale_of(const TensorTable& tensor);
  Result<Value*> zero_of(const TensorTable& tensor);
  Result<Value*> pair_value(const TensorTable& tensor, int64_t value);  // a scalar of its type

  // --- Nodes ------------------------------------------------------------------------------------
  Result<Value*> make(Op op, std::vector<Value*> inputs, Attributes attributes = {});
  // On the twins of its inputs, where all but constants of one element have them.
  Result<Value*> make_elementwise(Op op, std::vector<Value*> inputs, Attributes attributes = {});
  Result<std::vector<Value*>> make_many(Op op, std::vector<Value*> inputs, Attributes attributes,
                                        size_t outputs);
  Result<Value*> channels_first(Value* value);
  Result<Value*> channels_last(Value* value);  // of one with channels first, which is its twin
  bool has_twin(const Value* value) const { return twins_.contains(value); }
  // A constant with its dimensions in another order; a Transpose where it is computed.
  Result<Value*> permuted(Value* value, const std::vector<int64_t>& order);

  Result<void> set(size_t i, Value* value);           // an output as it is
  Result<void> set_real(Value* value, size_t i = 0);  // through QuantizeLinear where it has to
  // Reals as `scale` and `zero` can hold them; of several, one for each element of the last axis.
  Result<Value*> on_grid(Value* value, Value* scale, Value* zero);
  // The fused activation, of reals or of what stands for them.
  Result<Value*> activated(Value* value, int8_t activation);

  // --- State: a variable is an input of the graph, NAME, and an output, NAME/next ---------------
  Result<void> name_variable(const std::string& name);  // output 0 is its handle
  Result<void> read_variable();
  Result<void> assign_variable();
  Result<void> run_once(int64_t subgraph) const;
  // Of an input that is a variable itself: what it holds, and what it will hold. Reals where it is
  // quantised: zeros are what it begins with then, whatever its zero point.
  Result<Value*> kept(size_t i);
  Result<void> keep(size_t i, Value* next);

 private:
  struct Variable {
    Value* value = nullptr;  // what it holds now; null before it is first read or assigned
    Value* input = nullptr;
  };

  Result<void> count_made(uint64_t bytes);
  Result<Variable*> variable();  // whose handle is input 0
  std::string variable_name(size_t i) const;
  Result<void> add_state();
  Result<void> check_initial_state(const SubgraphTable& graph) const;
  Result<void> lower_all(const SubgraphTable& graph);
  Result<Value*> constant_of(int32_t index);
  Result<Value*> value_of(int32_t index);
  Result<Type> type_of(const TensorTable& tensor) const;
  Result<void> add_outputs(const SubgraphTable& graph);
  void erase_unused();
  Result<void> check_and_infer(Node& node);

  const ModelTable& model_;
  FlatBuffer& file_;
  std::shared_ptr<const void> owner_;
  std::unique_ptr<Graph> graph_;
  TypeInference inference_;
  const SubgraphTable* subgraph_ = nullptr;
  const OperatorTable* node_ = nullptr;
  const Row* row_ = nullptr;
  std::unordered_map<int32_t, Value*> values_;
  std::unordered_map<const Value*, Value*> twins_;
  std::unordered_map<int32_t, std::string> handles_;
  std::map<std::string, Variable> variables_;
  std::unordered_map<const TensorTable*, Value*> scales_, zeros_;
  uint64_t made_bytes_ = 0;  // of weights in another order than the file's
};

bool is_quantised(const TensorTable& tensor);  // integers that stand for reals
bool same_scale(const TensorTable& a, const TensorTable& b);

std::span<const Row> layer_rows();
std::span<const Row> element_rows();
std::span<const Row> movement_rows();
std::span<const Row> state_rows();
std::span<const Row> recurrent_rows();

// Null where there is none.
const Row* row_of(int32_t code);

}  // namespace skerry::graph::tflite
