// TorchScript models and ExecuTorch programs for skerry-infer, each in a process of its own: this
// plugin has none of PyTorch in it, starts skerry-torch-worker, which loads what runs the model,
// and talks with it (wire.h). What a model does to that process it does to no other: a run whose
// process ends fails, and the next one starts another.
//
// A package has the model and the file tensors.txt, as neither kind knows names and shapes:
//
//   input x FP32 -1 512
//   output y FP32 -1 1
#include <dlfcn.h>
#include <poll.h>
#include <skerry/runtime_plugin.h>
#include <spawn.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include <array>
#include <atomic>
#include <csignal>
#include <deque>
#include <memory>
#include <sstream>
#include <thread>

#include "wire.h"

namespace {

constexpr int kPauseMs = 5;  // between two looks at whether anybody still waits
constexpr int kWorkerSocket = 3;

struct TypeName {
  const char* name;
  int32_t type;
  uint64_t bytes;
};
constexpr std::array<TypeName, 8> kTypes = {{{"BOOL", SKERRY_BOOL, 1},
                                             {"INT8", SKERRY_INT8, 1},
                                             {"INT16", SKERRY_INT16, 2},
                                             {"INT32", SKERRY_INT32, 4},
                                             {"INT64", SKERRY_INT64, 8},
                                             {"UINT8", SKERRY_UINT8, 1},
                                             {"FP32", SKERRY_FP32, 4},
                                             {"FP64", SKERRY_FP64, 8}}};

struct Port {
  std::string name;
  int32_t type = 0;
  uint64_t element_bytes = 0;
  std::vector<int64_t> shape;
  SkerryTensorSpec spec{};
};

// Of the folder that this library is in.
std::string beside(const char* name) {
  Dl_info self{};
  ::dladdr(reinterpret_cast<void*>(&beside), &self);
  const std::string path = self.dli_fname == nullptr ? "" : self.dli_fname;
  return path.substr(0, path.rfind('/') + 1) + name;
}

}  // namespace

struct SkerryModel {
  std::string_view file;  // stays until close()
  uint32_t threads = 1;
  std::deque<Port> inputs, outputs;  // which stay where they are: their specs point into them
  int socket = -1;                   // to the worker; -1: there is none
  pid_t worker = -1;
  std::atomic<uint64_t> memory_bytes = 0;

  SkerryModel() = default;
  SkerryModel(const SkerryModel&) = delete;
  ~SkerryModel() { hang_up(); }

  void hang_up() {
    if (socket >= 0) ::close(socket);
    if (worker > 0) {
      ::kill(worker, SIGKILL);
      while (::waitpid(worker, nullptr, 0) < 0 && errno == EINTR) {
      }
    }
    socket = -1;
    worker = -1;
  }
};

namespace {

bool parse_ports(const std::string& text, SkerryModel& model) {
  std::istringstream lines(text);
  for (std::string line; std::getline(lines, line);) {
    std::istringstream words(line);
    std::string kind, type;
    Port port;
    if (!(words >> kind)) continue;  // an empty line
    if (!(words >> port.name >> type) || (kind != "input" && kind != "output")) return false;
    for (int64_t dimension = 0; words >> dimension;) port.shape.push_back(dimension);
    port.type = -1;
    for (const TypeName& each : kTypes) {
      if (type != each.name) continue;
      port.type = each.type;
      port.element_bytes = each.bytes;
    }
    if (!words.eof() || port.type < 0 || port.shape.size() > wire::kMaxRank) return false;
    auto& ports = kind == "input" ? model.inputs : model.outputs;
    Port& kept = ports.emplace_back(std::move(port));
    kept.spec = {sizeof(SkerryTensorSpec), kept.type, kept.name.c_str(),
                 static_cast<uint32_t>(kept.shape.size()), kept.shape.data()};
  }
  return !model.outputs.empty();
}

// The service's credentials are none of the model's business.
std::vector<char*> environment() {
  std::vector<char*> kept;
  for (char** each = environ; *each != nullptr; ++each) {
    const std::string_view text = *each;
    if (text.substr(0, 4) != "AWS_" && text.substr(0, 7) != "SVCUID=") kept.push_back(*each);
  }
  kept.push_back(nullptr);
  return kept;
}

// The trial of a model is a process that may die already, and may start no other: there the worker
// is a thread. "" or what is wrong.
std::string serve_here(const std::string& library, int socket) {
  void* loaded = ::dlopen(library.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (loaded == nullptr) return ::dlerror();
  const auto serve = reinterpret_cast<int (*)(int)>(::dlsym(loaded, "skerry_torch_serve"));
  if (serve == nullptr) return library + " is not this plugin's";
  std::thread([serve, socket] {
    serve(socket);
    ::close(socket);
  }).detach();
  return "";
}

// By the identifier of its FlatBuffer, "ET12" and those to come; TorchScript's files are ZIP
// archives.
bool is_executorch(std::string_view file) {
  return file.size() > 8 && file.substr(4, 2) == "ET";
}

std::string start(SkerryModel& model) {
  int ends[2];
  if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) != 0) return std::strerror(errno);
  std::string program = beside("skerry-torch-worker");
  std::string library = beside(is_executorch(model.file) ? "libskerry_executorch_worker.so"
                                                         : "libskerry_torch_worker.so");
  std::string number = std::to_string(kWorkerSocket);
  std::array<char*, 4> arguments = {program.data(), library.data(), number.data(), nullptr};
  posix_spawn_file_actions_t files;
  ::posix_spawn_file_actions_init(&files);
  ::posix_spawn_file_actions_adddup2(&files, ends[1], kWorkerSocket);
  ::posix_spawn_file_actions_addclosefrom_np(&files, kWorkerSocket + 1);
  const int error = ::posix_spawn(&model.worker, program.c_str(), &files, nullptr, arguments.data(),
                                  environment().data());
  ::posix_spawn_file_actions_destroy(&files);
  model.socket = ends[0];
  if (error == EACCES && ::access(program.c_str(), X_OK) == 0) {
    model.worker = -1;
    return serve_here(library, ends[1]);
  }
  ::close(ends[1]);
  if (error == 0) return "";
  model.worker = -1;
  return program + ": " + std::strerror(error);
}

// Reads into all of `at`; SKERRY_OK, SKERRY_CANCELLED, or SKERRY_INTERNAL where the worker has
// gone.
int32_t receive_all(int socket, char* at, uint64_t size, SkerryRun* run) {
  while (size > 0) {
    pollfd ready = {socket, POLLIN, 0};
    if (::poll(&ready, 1, kPauseMs) == 0) {
      if (run != nullptr && run->stopped(run)) return SKERRY_CANCELLED;
      continue;
    }
    const ssize_t got = ::read(socket, at, size);
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) return SKERRY_INTERNAL;
    at += got;
    size -= static_cast<uint64_t>(got);
  }
  return SKERRY_OK;
}

// Asks and waits for the answer; the worker is given up where there is none.
int32_t exchange(SkerryModel& model, const std::string& question, std::string& answer,
                 SkerryRun* run) {
  uint64_t size = 0;
  int32_t code = wire::send(model.socket, question) ? SKERRY_OK : SKERRY_INTERNAL;
  if (code == SKERRY_OK) {
    code = receive_all(model.socket, reinterpret_cast<char*>(&size), sizeof(size), run);
  }
  if (code == SKERRY_OK && size > wire::kMaxMessage) code = SKERRY_INTERNAL;
  if (code == SKERRY_OK) {
    answer.resize(size);
    code = receive_all(model.socket, answer.data(), size, run);
  }
  if (code != SKERRY_OK) model.hang_up();
  return code;
}

// A worker that has the model. `words`: why not.
int32_t start_and_load(SkerryModel& model, std::string& words, SkerryRun* run) {
  words = start(model);
  if (!words.empty()) {
    model.hang_up();
    return SKERRY_INTERNAL;
  }
  wire::Writer question;
  question.number(model.threads);
  question.words(model.file);
  std::string answer;
  int32_t code = exchange(model, question.message(), answer, run);
  words = "the process that loads the model has ended";
  if (code != SKERRY_OK) return code == SKERRY_INTERNAL ? SKERRY_CORRUPT : code;
  wire::Reader in(answer);
  code = static_cast<int32_t>(in.number<uint32_t>());
  if (code == SKERRY_OK) return in.ok() ? code : SKERRY_INTERNAL;
  words = in.bytes();
  model.hang_up();
  return code;
}

int32_t open_model(SkerryLoad* load, SkerryModel** model) {
  const void* data = nullptr;
  size_t size = 0;
  auto opened = std::make_unique<SkerryModel>();
  opened->threads = load->threads;
  int32_t code = load->read(load, "tensors.txt", &data, &size);
  if (code != SKERRY_OK) return code;
  if (!parse_ports(std::string(static_cast<const char*>(data), size), *opened)) {
    return load->fail(load, SKERRY_CORRUPT,
                      "tensors.txt has lines such as: input x FP32 -1 512, output y FP32 -1 1");
  }
  code = load->read(load, load->main_file, &data, &size);
  if (code != SKERRY_OK) return code;
  opened->file = {static_cast<const char*>(data), size};
  std::string words;
  code = start_and_load(*opened, words, nullptr);
  if (code != SKERRY_OK) return load->fail(load, code, words.c_str());
  *model = opened.release();
  return SKERRY_OK;
}

const SkerryTensorSpec* input(SkerryModel* model, uint32_t index) {
  return index < model->inputs.size() ? &model->inputs[index].spec : nullptr;
}

const SkerryTensorSpec* output(SkerryModel* model, uint32_t index) {
  return index < model->outputs.size() ? &model->outputs[index].spec : nullptr;
}

// "" or what is wrong with it: what runs a model of others says nothing that is taken on trust.
std::string check(const wire::Tensor& tensor, const Port& port) {
  uint64_t bytes = port.element_bytes;
  for (const int64_t dimension : tensor.shape) {
    if (dimension < 0 || __builtin_mul_overflow(bytes, static_cast<uint64_t>(dimension), &bytes)) {
      return "output '" + port.name + "' has a wrong shape";
    }
  }
  if (tensor.type != static_cast<uint32_t>(port.type)) {
    return "output '" + port.name + "' is of another type than tensors.txt says";
  }
  return bytes == tensor.bytes.size() ? "" : "output '" + port.name + "' is cut";
}

int32_t give(SkerryModel& model, SkerryRun* run, wire::Reader& in) {
  model.memory_bytes = in.number<uint64_t>();
  const auto count = in.number<uint32_t>();
  if (!in.ok() || count != model.outputs.size()) {
    const std::string words = "forward() returns " + std::to_string(count) +
                              " tensors, tensors.txt says " + std::to_string(model.outputs.size());
    return run->fail(run, SKERRY_INTERNAL, words.c_str());
  }
  for (uint32_t i = 0; i < count; ++i) {
    wire::Tensor tensor;
    const std::string wrong =
        wire::read(in, tensor) ? check(tensor, model.outputs[i]) : "an answer is cut";
    if (!wrong.empty()) return run->fail(run, SKERRY_INTERNAL, wrong.c_str());
    if (!run->wanted(run, i)) continue;
    void* out = run->output(run, i, static_cast<uint32_t>(tensor.shape.size()), tensor.shape.data(),
                            tensor.bytes.size());
    if (out == nullptr) return SKERRY_RESOURCE_EXHAUSTED;
    if (!tensor.bytes.empty()) std::memcpy(out, tensor.bytes.data(), tensor.bytes.size());
  }
  return SKERRY_OK;
}

int32_t run_model(SkerryModel* model, SkerryRun* run) {
  std::string words;
  if (model->socket < 0) {
    const int32_t code = start_and_load(*model, words, run);
    if (code != SKERRY_OK) return run->fail(run, code, words.c_str());
  }
  wire::Writer question;
  question.number(run->input_count);
  for (uint32_t i = 0; i < run->input_count; ++i) {
    const SkerryTensor& each = *run->inputs[i];
    wire::write(question, {static_cast<uint32_t>(each.type),
                           {each.shape, each.shape + each.rank},
                           {static_cast<const char*>(each.data), each.size_bytes}});
  }
  std::string answer;
  const int32_t code = exchange(*model, question.message(), answer, run);
  if (code == SKERRY_CANCELLED) return code;
  if (code != SKERRY_OK) {
    return run->fail(run, code,
                     "the process that runs the model has ended; the next run starts another");
  }
  wire::Reader in(answer);
  const auto said = static_cast<int32_t>(in.number<uint32_t>());
  if (said == SKERRY_OK) return give(*model, run, in);
  words = in.bytes();
  return run->fail(run, said, words.c_str());
}

void close_model(SkerryModel* model) {
  delete model;
}

uint64_t memory_of(SkerryModel* model) {
  return model->memory_bytes;
}

constexpr uint32_t types() {
  uint32_t bits = 0;
  for (const TypeName& each : kTypes) bits |= 1u << each.type;
  return bits;
}

constexpr SkerryRuntime kRuntime = {
    sizeof(SkerryRuntime),
    SKERRY_RUNTIME_ABI,
    "pytorch",
    SKERRY_TORCH_VERSION,
    SKERRY_RUNTIME_INTERRUPTIBLE | SKERRY_RUNTIME_SEVERAL_FILES | SKERRY_RUNTIME_BATCHING |
        SKERRY_RUNTIME_STATEFUL,
    types(),
    open_model,
    input,
    output,
    nullptr,
    run_model,
    close_model,
    memory_of,
};

}  // namespace

const SkerryRuntime* skerry_runtime_plugin(uint32_t host_abi) {
  return host_abi == SKERRY_RUNTIME_ABI ? &kRuntime : nullptr;
}
