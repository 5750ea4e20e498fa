// A whole runtime for skerry-infer, to copy from. Its models are text: a line for each input and
// the output that is a copy of it, then "end". A line "fail" makes every run fail.
//
//   INPUT OUTPUT TYPE DIMENSION…        a c 10 -1 4     (10 is SKERRY_FP32)
#include <skerry/runtime_plugin.h>

#include <cstring>
#include <deque>
#include <memory>
#include <sstream>
#include <string>
#include <vector>

namespace {

struct Copy {
  std::string input, output;
  int32_t type = 0;
  std::vector<int64_t> shape;
  SkerryTensorSpec input_spec{}, output_spec{};
};

bool parse(const std::string& line, Copy& copy) {
  std::istringstream words(line);
  if (!(words >> copy.input >> copy.output >> copy.type)) return false;
  for (int64_t dimension = 0; words >> dimension;) copy.shape.push_back(dimension);
  if (!words.eof() || copy.type < SKERRY_BOOL || copy.type > SKERRY_BYTES) return false;
  const auto spec = [&copy](const std::string& name) {
    return SkerryTensorSpec{sizeof(SkerryTensorSpec), copy.type, name.c_str(),
                            static_cast<uint32_t>(copy.shape.size()), copy.shape.data()};
  };
  copy.input_spec = spec(copy.input);
  copy.output_spec = spec(copy.output);
  return true;
}

}  // namespace

struct SkerryModel {
  std::deque<Copy> copies;  // which stay where they are: the specs point into them
  bool fails = false;
  size_t file_bytes = 0;  // that read() keeps for it
};

namespace {

int32_t open_model(SkerryLoad* load, SkerryModel** model) {
  const void* data = nullptr;
  size_t size = 0;
  if (const int32_t code = load->read(load, load->main_file, &data, &size); code != SKERRY_OK) {
    return code;
  }
  std::istringstream lines(std::string(static_cast<const char*>(data), size));
  auto opened = std::make_unique<SkerryModel>();
  opened->file_bytes = size;
  std::string line;
  while (std::getline(lines, line) && line != "end") {
    if (line == "fail") {
      opened->fails = true;
    } else if (!parse(line, opened->copies.emplace_back())) {
      return load->fail(load, SKERRY_CORRUPT, ("this is no line of a model: " + line).c_str());
    }
  }
  if (line != "end") return load->fail(load, SKERRY_CORRUPT, "the line \"end\" is missing");
  *model = opened.release();
  return SKERRY_OK;
}

const SkerryTensorSpec* input(SkerryModel* model, uint32_t index) {
  return index < model->copies.size() ? &model->copies[index].input_spec : nullptr;
}

const SkerryTensorSpec* output(SkerryModel* model, uint32_t index) {
  return index < model->copies.size() ? &model->copies[index].output_spec : nullptr;
}

uint32_t traits(SkerryModel*) {
  return SKERRY_MODEL_BOUNDED;
}

int32_t run_model(SkerryModel* model, SkerryRun* run) {
  if (model->fails) return run->fail(run, SKERRY_INTERNAL, "the model says that its runs fail");
  for (uint32_t i = 0; i < run->input_count; ++i) {
    if (!run->wanted(run, i)) continue;
    const SkerryTensor& in = *run->inputs[i];
    void* out = run->output(run, i, in.rank, in.shape, in.size_bytes);
    if (out == nullptr) return SKERRY_RESOURCE_EXHAUSTED;
    if (in.size_bytes > 0) std::memcpy(out, in.data, in.size_bytes);
  }
  return SKERRY_OK;
}

void close_model(SkerryModel* model) {
  delete model;
}

uint64_t memory_of(SkerryModel* model) {
  return sizeof(SkerryModel) + model->copies.size() * sizeof(Copy) + model->file_bytes;
}

constexpr SkerryRuntime kRuntime = {
    sizeof(SkerryRuntime),
    SKERRY_RUNTIME_ABI,
    "copy",
    "1.0.0",
    SKERRY_RUNTIME_THREAD_SAFE | SKERRY_RUNTIME_BATCHING,
    (1u << (SKERRY_BYTES + 1)) - 1,  // all types
    open_model,
    input,
    output,
    traits,
    run_model,
    close_model,
    memory_of,
};

}  // namespace

const SkerryRuntime* skerry_runtime_plugin(uint32_t host_abi) {
  return host_abi == SKERRY_RUNTIME_ABI ? &kRuntime : nullptr;
}
