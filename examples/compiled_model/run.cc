// A compiled model in C++, as one stream: its state goes from run to run.
//
//     skerry model compile keywords.onnx -o keywords.so
//     c++ -std=c++20 -O2 run.cc ./keywords.so -o run && ./run <inputs >outputs
//
// Standard input has the bytes of all inputs, one after the other, for as many runs as there are;
// standard output gets those of all outputs.
#include <skerry/compiled_model.h>

#include <cstdio>
#include <cstdlib>
#include <memory>
#include <vector>

namespace {

struct Free {
  void operator()(void* memory) const { std::free(memory); }
};
using Memory = std::unique_ptr<void, Free>;

Memory memory_for(uint64_t size_bytes) {
  return Memory(std::aligned_alloc(64, (size_bytes + 64) / 64 * 64));
}

class Stream {
 public:
  explicit Stream(const SkerryCompiledModel& model)
      : model_(model),
        arena_(memory_for(model.arena_bytes)),
        state_(memory_for(model.state_bytes)) {
    for (uint32_t i = 0; i < model.input_count; ++i) {
      inputs_.push_back(memory_for(model.inputs[i].size_bytes));
    }
    for (uint32_t i = 0; i < model.output_count; ++i) {
      outputs_.push_back(memory_for(model.outputs[i].size_bytes));
    }
    model_.bind(arena_.get());
    model_.reset(state_.get());
  }

  // False once there is no more, or not all of it.
  bool read(std::FILE* from) {
    for (uint32_t i = 0; i < model_.input_count; ++i) {
      const uint64_t size = model_.inputs[i].size_bytes;
      if (std::fread(inputs_[i].get(), 1, size, from) != size) return false;
    }
    return model_.input_count > 0;
  }

  int32_t run() {
    std::vector<const void*> inputs;
    std::vector<void*> outputs;
    for (const Memory& each : inputs_) inputs.push_back(each.get());
    for (const Memory& each : outputs_) outputs.push_back(each.get());
    return model_.run(arena_.get(), state_.get(), inputs.data(), outputs.data());
  }

  bool write(std::FILE* to) const {
    for (uint32_t i = 0; i < model_.output_count; ++i) {
      const uint64_t size = model_.outputs[i].size_bytes;
      if (std::fwrite(outputs_[i].get(), 1, size, to) != size) return false;
    }
    return std::fflush(to) == 0;
  }

 private:
  const SkerryCompiledModel& model_;
  Memory arena_, state_;
  std::vector<Memory> inputs_, outputs_;
};

}  // namespace

int main() {
  const SkerryCompiledModel* model = skerry_compiled_model();
  if (model == nullptr || model->abi_version != SKERRY_COMPILED_ABI) {
    std::fputs("the model is for other processors or another interface\n", stderr);
    return 2;
  }
  Stream stream(*model);
  while (stream.read(stdin)) {
    if (const int32_t code = stream.run()) {
      std::fprintf(stderr, "the model refuses: %d\n", code);
      return 1;
    }
    if (!stream.write(stdout)) return 2;
  }
  return 0;
}
