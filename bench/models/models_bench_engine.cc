// One engine with one model, through the engine's own C interface and with tensors that are made
// once: what is measured is a run and nothing around it.
//
//   models_bench_engine ENGINE LIBRARY MODEL THREADS
//
// ENGINE: onnxruntime, onnxruntime-unoptimised, litert. Prints "ready"
// after the first result. Each line N on its input is N runs and one line out: nanoseconds of all,
// and of the fastest. An empty line or the end of the input ends it.
#include <dlfcn.h>
#include <onnxruntime_c_api.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <functional>
#include <iostream>
#include <iterator>
#include <memory>
#include <string>
#include <vector>

#include "runtime/litert/litert_library.h"
#include "tensor/tensor.h"

namespace skerry {
namespace {

using tensor::Bytes;
using Run = std::function<bool()>;

[[noreturn]] void die(const std::string& why) {
  std::fprintf(stderr, "models_bench_engine: %s\n", why.c_str());
  std::exit(1);
}

template <class T>
T must(Result<T> result) {
  if (!result) die(result.error().message());
  return std::move(*result);
}

int64_t now_ns() {
  return std::chrono::duration_cast<std::chrono::nanoseconds>(
             std::chrono::steady_clock::now().time_since_epoch())
      .count();
}

// Numbers of the right size for every type: small floats, any bytes, 0 and 1.
Bytes made_up(size_t size_bytes, bool is_float, bool is_byte) {
  Bytes bytes(size_bytes + 64);  // engines may read on
  for (size_t i = 0; is_float && i + 4 <= size_bytes; i += 4) {
    const float value = static_cast<float>((i / 4 * 37 + 11) % 101) / 50.0f - 1.0f;
    std::memcpy(bytes.data() + i, &value, sizeof value);
  }
  for (size_t i = 0; is_byte && i < size_bytes; ++i) bytes[i] = static_cast<std::byte>(i * 37 + 11);
  return bytes;
}

// --- ONNX Runtime -------------------------------------------------------------------------------

struct Ort {
  const OrtApi* api = nullptr;
  OrtSession* session = nullptr;
  std::vector<Bytes> memory;
  std::vector<OrtValue*> inputs, outputs;
  std::vector<const char*> input_names, output_names;

  void check(OrtStatus* status) const {
    if (status != nullptr) die(api->GetErrorMessage(status));
  }
  void open(const std::string& library, const std::string& model, int threads, bool optimised);
  void add_input(OrtMemoryInfo* place, size_t index);
};

void Ort::add_input(OrtMemoryInfo* place, size_t index) {
  OrtTypeInfo* type = nullptr;
  check(api->SessionGetInputTypeInfo(session, index, &type));
  const OrtTensorTypeAndShapeInfo* info = nullptr;
  check(api->CastTypeInfoToTensorInfo(type, &info));
  ONNXTensorElementDataType element{};
  check(api->GetTensorElementType(info, &element));
  size_t rank = 0;
  check(api->GetDimensionsCount(info, &rank));
  std::vector<int64_t> shape(rank);
  check(api->GetDimensions(info, shape.data(), rank));
  size_t count = 1;
  for (int64_t& size : shape) count *= static_cast<size_t>(size = std::max<int64_t>(size, 1));
  const bool is_float = element == ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT;
  const bool is_byte = element == ONNX_TENSOR_ELEMENT_DATA_TYPE_INT8 ||
                       element == ONNX_TENSOR_ELEMENT_DATA_TYPE_UINT8;
  const bool is_wide = element == ONNX_TENSOR_ELEMENT_DATA_TYPE_INT64;
  const size_t size_bytes = count * (is_byte ? 1 : is_wide ? 8 : 4);
  memory.push_back(made_up(size_bytes, is_float, is_byte));
  inputs.push_back(nullptr);
  check(api->CreateTensorWithDataAsOrtValue(place, memory.back().data(), size_bytes, shape.data(),
                                            rank, element, &inputs.back()));
  api->ReleaseTypeInfo(type);
}

void Ort::open(const std::string& library, const std::string& model, int threads, bool optimised) {
  void* handle = dlopen(library.c_str(), RTLD_NOW);
  if (handle == nullptr) die(dlerror());
  const auto base = reinterpret_cast<decltype(&OrtGetApiBase)>(dlsym(handle, "OrtGetApiBase"));
  api = base()->GetApi(ORT_API_VERSION);
  OrtEnv* environment = nullptr;
  check(api->CreateEnv(ORT_LOGGING_LEVEL_FATAL, "bench", &environment));
  OrtSessionOptions* options = nullptr;
  check(api->CreateSessionOptions(&options));
  check(api->SetIntraOpNumThreads(options, threads));
  check(
      api->SetSessionGraphOptimizationLevel(options, optimised ? ORT_ENABLE_ALL : ORT_DISABLE_ALL));
  check(api->CreateSession(environment, model.c_str(), options, &session));
  OrtAllocator* allocator = nullptr;
  check(api->GetAllocatorWithDefaultOptions(&allocator));
  OrtMemoryInfo* place = nullptr;
  check(api->CreateCpuMemoryInfo(OrtArenaAllocator, OrtMemTypeDefault, &place));
  size_t count = 0;
  check(api->SessionGetInputCount(session, &count));
  char* name = nullptr;
  for (size_t i = 0; i < count; ++i) {
    check(api->SessionGetInputName(session, i, allocator, &name));
    input_names.push_back(name);
    add_input(place, i);
  }
  check(api->SessionGetOutputCount(session, &count));
  for (size_t i = 0; i < count; ++i) {
    check(api->SessionGetOutputName(session, i, allocator, &name));
    output_names.push_back(name);
  }
  outputs.resize(count, nullptr);  // made by the first run, used by the others
}

Run open_onnxruntime(const std::string& library, const std::string& model, int threads,
                     bool optimised) {
  auto ort = std::make_shared<Ort>();
  ort->open(library, model, threads, optimised);
  return [ort] {
    return ort->api->Run(ort->session, nullptr, ort->input_names.data(), ort->inputs.data(),
                         ort->inputs.size(), ort->output_names.data(), ort->output_names.size(),
                         ort->outputs.data()) == nullptr;
  };
}

// --- LiteRT -------------------------------------------------------------------------------------

struct LiteRt {
  std::shared_ptr<const runtime::LrtLibrary> library;
  Bytes model_bytes;
  std::vector<Bytes> memory;
  runtime::LrtCompiledModel* compiled = nullptr;
  std::vector<runtime::LrtTensorBuffer*> inputs, outputs;

  static void check(int status, const char* what) {
    if (status != 0) die(std::string(what) + " gives " + std::to_string(status));
  }
  void add(runtime::LrtTensor* tensor, const runtime::LrtLayout* layout, bool is_input) {
    const runtime::LrtApi& api = library->api();
    runtime::LrtTensorType type{};
    check(api.tensor_type(tensor, &type), "tensor_type");
    if (layout != nullptr) type.layout = *layout;
    size_t count = 1;
    for (unsigned i = 0; i < type.layout.rank; ++i) {
      int32_t& size = type.layout.dimensions[i];
      count *= static_cast<size_t>(size = std::max(size, 1));
    }
    const bool is_float = type.element == 1;
    const bool is_byte = type.element == 3 || type.element == 9;
    const size_t size_bytes = count * (is_byte ? 1 : type.element == 4 ? 8 : 4);
    memory.push_back(made_up(size_bytes + 128, is_float, is_byte));
    runtime::LrtTensorBuffer* buffer = nullptr;
    check(api.create_buffer(&type, memory.back().data(), size_bytes, nullptr, &buffer), "buffer");
    (is_input ? inputs : outputs).push_back(buffer);
  }
  void open(const std::string& path, const std::string& model, int threads);
};

void LiteRt::open(const std::string& path, const std::string& model, int threads) {
  library = must(runtime::LrtLibrary::open(path));
  const runtime::LrtApi& api = library->api();
  std::ifstream file(model, std::ios::binary);
  const std::string content((std::istreambuf_iterator<char>(file)), {});
  const auto* first = reinterpret_cast<const std::byte*>(content.data());
  model_bytes.assign(first, first + content.size());
  runtime::LrtModel* loaded = nullptr;
  check(api.create_model(library->environment(), model_bytes.data(), model_bytes.size(), &loaded),
        "create_model");
  runtime::LrtOptions* options = nullptr;
  check(api.create_options(&options), "create_options");
  check(api.set_accelerators(options, 1), "set_accelerators");
  char* text = ::strdup(("num_threads = " + std::to_string(threads) + "\n").c_str());
  runtime::LrtOpaqueOptions* xnnpack = nullptr;
  check(api.create_opaque_options("xnnpack", text, std::free, &xnnpack), "options");
  check(api.add_opaque_options(options, xnnpack), "options");
  check(api.compile(library->environment(), loaded, options, &compiled), "compile");
  runtime::LrtSignature* signature = nullptr;
  check(api.signature(loaded, 0, &signature), "signature");
  size_t input_count = 0, output_count = 0;
  check(api.input_count(signature, &input_count), "inputs");
  check(api.output_count(signature, &output_count), "outputs");
  for (size_t i = 0; i < input_count; ++i) {
    runtime::LrtTensor* tensor = nullptr;
    check(api.input_tensor(signature, i, &tensor), "input");
    runtime::LrtTensorType type{};
    check(api.tensor_type(tensor, &type), "tensor_type");
    for (unsigned k = 0; k < type.layout.rank; ++k) {
      type.layout.dimensions[k] = std::max(type.layout.dimensions[k], 1);
    }
    check(api.resize_input(compiled, 0, i, type.layout.dimensions, type.layout.rank), "resize");
    add(tensor, &type.layout, true);
  }
  std::vector<runtime::LrtLayout> layouts(output_count);
  check(api.output_layouts(compiled, 0, output_count, layouts.data(), true), "layouts");
  for (size_t i = 0; i < output_count; ++i) {
    runtime::LrtTensor* tensor = nullptr;
    check(api.output_tensor(signature, i, &tensor), "output");
    add(tensor, &layouts[i], false);
  }
}

Run open_litert(const std::string& library, const std::string& model, int threads) {
  auto lite = std::make_shared<LiteRt>();
  lite->open(library, model, threads);
  return [lite] {
    return lite->library->api().run(lite->compiled, 0, lite->inputs.size(), lite->inputs.data(),
                                    lite->outputs.size(), lite->outputs.data()) == 0;
  };
}

Run open(const std::string& engine, const std::string& library, const std::string& model,
         int threads) {
  if (engine == "onnxruntime") return open_onnxruntime(library, model, threads, true);
  if (engine == "onnxruntime-unoptimised") return open_onnxruntime(library, model, threads, false);
  if (engine == "litert") return open_litert(library, model, threads);
  die("there is no engine " + engine);
}

int serve(const Run& run) {
  if (!run()) die("the first run fails");
  std::puts("ready");
  std::fflush(stdout);
  for (std::string line; std::getline(std::cin, line) && !line.empty();) {
    const int64_t start = now_ns();
    int64_t before = start, fastest = INT64_MAX;
    for (long left = std::atol(line.c_str()); left > 0; --left) {
      if (!run()) die("a run fails");
      const int64_t now = now_ns();
      fastest = std::min(fastest, now - before);
      before = now;
    }
    std::printf("%ld %ld\n", static_cast<long>(before - start), static_cast<long>(fastest));
    std::fflush(stdout);
  }
  return 0;
}

}  // namespace
}  // namespace skerry

int main(int argc, char** argv) {
  if (argc != 5) {
    std::fprintf(stderr, "usage: models_bench_engine ENGINE LIBRARY MODEL THREADS\n");
    return 2;
  }
  const int code = skerry::serve(skerry::open(argv[1], argv[2], argv[3], std::atoi(argv[4])));
  _exit(code);  // engines' threads have nothing to end
}
