// The Runtime interface on DLR's C API. DLR wants a folder: it gets one of links to memory that
// nobody can change any more, so that what it loads is what was verified.
#include "runtime/dlr/dlr_runtime.h"

#include <dlfcn.h>
#include <fmt/format.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <filesystem>
#include <optional>
#include <utility>

#include "io/temporary_folder.h"
#include "runtime/dlr/dlr_library.h"
#include "runtime/dlr/neo_graph.h"
#include "runtime/dlr/neo_types.h"
#include "runtime/memory_file.h"

namespace skerry::runtime {
namespace {

namespace fs = std::filesystem;

constexpr int kCpu = 1;
constexpr std::string_view kVendorsOwn = "libdlr.so";  // that Neo puts beside some models

// The files of a package that DLR reads.
struct NeoFiles {
  std::string graph;
  std::string params;
  std::string object;
  std::string meta;  // "" where there is none
};

// The package's one file with that extension; "" where it has none.
Result<std::string> find_one(const ModelSource& source, std::string_view extension) {
  std::string found;
  for (const auto& path : source.paths()) {
    const fs::path name(path);
    if (name.extension() != extension || name.filename() == kVendorsOwn) continue;
    if (!found.empty()) {
      return fail(Code::kInvalidArgument,
                  fmt::format("the package has two *{} files, '{}' and '{}'; leave one out",
                              extension, found, path));
    }
    found = path;
  }
  return found;
}

Result<NeoFiles> find_files(const ModelSource& source) {
  NeoFiles files{.graph = source.main_file()};
  SKERRY_ASSIGN(files.params, find_one(source, ".params"));
  SKERRY_ASSIGN(files.object, find_one(source, ".so"));
  SKERRY_ASSIGN(files.meta, find_one(source, ".meta"));
  if (!files.params.empty() && !files.object.empty()) return files;
  return fail(Code::kInvalidArgument,
              fmt::format("a model compiled by Neo has a *{} file beside its graph; name it among "
                          "the package's files",
                          files.params.empty() ? ".params" : ".so"));
}

Result<void> link(const io::TemporaryFolder& folder, const char* name, const MemoryFile& file) {
  const std::string at = folder.path(name);
  if (::symlink(file.path().c_str(), at.c_str()) == 0) return {};
  return fail(errno_error("symlink", at, errno));
}

// Whether the shared object has what the graph calls; DLR says less where it has not.
Result<void> check_functions(const std::string& object, const NeoGraph& graph) {
  void* const loaded = ::dlopen(object.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (loaded == nullptr) {
    return fail(Code::kCorrupt, fmt::format("the shared object does not load: {}", ::dlerror()));
  }
  std::string missing;
  for (const std::string& function : graph.functions) {
    if (::dlsym(loaded, function.c_str()) == nullptr) missing = function;
  }
  ::dlclose(loaded);
  if (missing.empty()) return {};
  return fail(Code::kCorrupt,
              fmt::format("the shared object has no '{}', which the graph calls", missing));
}

class DlrModel : public Model {
 public:
  // `lib` is shared: every model needs the library, and may outlive the runtime that loaded it.
  DlrModel(std::shared_ptr<const DlrLibrary> lib, NeoGraph graph, uint64_t file_bytes)
      : lib_(std::move(lib)),
        graph_(std::move(graph)),
        memory_bytes_(graph_.storage_bytes + file_bytes) {}
  DlrModel(const DlrModel&) = delete;
  DlrModel& operator=(const DlrModel&) = delete;
  ~DlrModel() override {
    if (handle_ != nullptr) lib_->api().destroy(&handle_);
  }

  Result<void> create(const std::string& folder, int threads);

  const std::vector<TensorSpec>& inputs() const override { return graph_.inputs; }
  const std::vector<TensorSpec>& outputs() const override { return graph_.outputs; }
  bool is_bounded() const override { return true; }
  uint64_t memory_bytes() const override { return memory_bytes_; }
  Result<std::vector<Tensor>> run(std::span<const TensorView> inputs,
                                  std::span<const std::string> wanted,
                                  const std::stop_token& stop) override;

 private:
  std::shared_ptr<const DlrLibrary> lib_;
  NeoGraph graph_;
  uint64_t memory_bytes_;
  DlrHandle handle_ = nullptr;
};

Result<void> DlrModel::create(const std::string& folder, int threads) {
  const DlrApi& api = lib_->api();
  SKERRY_TRY(lib_->check(api.create(&handle_, folder.c_str(), kCpu, 0), Code::kCorrupt,
                         "DLR cannot load the model"));
  // It sets a variable of the environment, which counts for the whole process: only where it
  // changes something.
  const char* set = std::getenv("TVM_NUM_THREADS");
  if (set == nullptr || set != std::to_string(threads)) {
    SKERRY_TRY(lib_->check(api.set_threads(&handle_, threads), Code::kInternal, "DLR's threads"));
  }
  int inputs = 0;
  int outputs = 0;
  SKERRY_TRY(lib_->check(api.input_count(&handle_, &inputs), Code::kCorrupt, "the inputs"));
  SKERRY_TRY(lib_->check(api.output_count(&handle_, &outputs), Code::kCorrupt, "the outputs"));
  bool fits = inputs == static_cast<int>(graph_.inputs.size()) &&
              outputs == static_cast<int>(graph_.outputs.size());
  // What get_output() writes.
  for (int i = 0; fits && i < outputs; ++i) {
    int64_t elements = 0;
    int rank = 0;
    SKERRY_TRY(lib_->check(api.output_size(&handle_, i, &elements, &rank), Code::kCorrupt,
                           "the size of an output"));
    SKERRY_ASSIGN(const size_t expected, tensor::element_count(graph_.outputs[i].shape));
    fits = elements == static_cast<int64_t>(expected);
  }
  if (fits) return {};
  return fail(Code::kCorrupt, "DLR reads the graph otherwise than it is written");
}

Result<std::vector<Tensor>> DlrModel::run(std::span<const TensorView> inputs,
                                          std::span<const std::string> wanted,
                                          const std::stop_token&) {
  SKERRY_ASSIGN(const auto matched, match_inputs(graph_.inputs, inputs));
  SKERRY_ASSIGN(const auto selected, select_outputs(graph_.outputs, wanted));
  const DlrApi& api = lib_->api();
  for (size_t i = 0; i < matched.size(); ++i) {
    const TensorSpec& spec = graph_.inputs[i];
    SKERRY_TRY(
        lib_->check(api.set_input(&handle_, spec.name.c_str(), spec.shape.data(),
                                  matched[i]->bytes.data(), static_cast<int>(spec.shape.size())),
                    Code::kInternal, fmt::format("DLR does not take input '{}'", spec.name)));
  }
  SKERRY_TRY(lib_->check(api.run(&handle_), Code::kInternal, "the model failed"));
  std::vector<Tensor> results;
  for (const size_t i : selected) {
    const TensorSpec& spec = graph_.outputs[i];
    SKERRY_ASSIGN(const size_t count, tensor::element_count(spec.shape));
    results.push_back(
        {spec.name, spec.type, spec.shape, tensor::Bytes(count * tensor::size_of(spec.type))});
    SKERRY_TRY(
        lib_->check(api.get_output(&handle_, static_cast<int>(i), results.back().bytes.data()),
                    Code::kInternal, fmt::format("DLR does not give output '{}'", spec.name)));
  }
  return results;
}

class DlrRuntime : public Runtime {
 public:
  explicit DlrRuntime(std::shared_ptr<const DlrLibrary> lib) : lib_(std::move(lib)) {}

  std::string_view name() const override { return "dlr"; }
  std::string version() const override { return lib_->version(); }
  Capabilities capabilities() const override {
    Capabilities can{.several_files = true, .empty_tensors = false, .counts_memory = true};
    for (const NeoType& type : kNeoTypes) can.types.push_back(type.ours);
    return can;
  }

 private:
  static Result<MemoryFile> copy(const ModelSource& source, const std::string& path,
                                 const LoadOptions& options) {
    SKERRY_ASSIGN(ModelFile file, source.open(path, options.max_file_bytes));
    return MemoryFile::copy(std::move(file));
  }
  Result<std::unique_ptr<Model>> load_files(const ModelSource& source,
                                            const LoadOptions& options) override;

  std::shared_ptr<const DlrLibrary> lib_;
};

Result<std::unique_ptr<Model>> DlrRuntime::load_files(const ModelSource& source,
                                                      const LoadOptions& options) {
  SKERRY_ASSIGN(const NeoFiles files, find_files(source));
  SKERRY_ASSIGN(const MemoryFile graph_file, copy(source, files.graph, options));
  SKERRY_ASSIGN(const MemoryFile params, copy(source, files.params, options));
  SKERRY_ASSIGN(const MemoryFile object, copy(source, files.object, options));
  std::optional<MemoryFile> meta;
  if (!files.meta.empty()) {
    SKERRY_ASSIGN(MemoryFile file, copy(source, files.meta, options));
    meta.emplace(std::move(file));
  }
  SKERRY_ASSIGN(NeoGraph graph,
                read_neo_graph(graph_file.bytes(), params.bytes(), meta ? meta->bytes() : ""));
  SKERRY_TRY(check_shared_object(object.bytes()));
  SKERRY_ASSIGN(const MemoryFile graph_text, MemoryFile::copy_of(graph.text));

  SKERRY_ASSIGN(const auto folder, io::TemporaryFolder::make("skerry-dlr"));
  SKERRY_TRY(link(folder, "compiled_model.json", graph_text));
  SKERRY_TRY(link(folder, "compiled.params", params));
  SKERRY_TRY(link(folder, "compiled.so", object));
  SKERRY_TRY(check_functions(folder.path("compiled.so"), graph));
  auto model = std::make_unique<DlrModel>(lib_, std::move(graph), object.bytes().size());
  SKERRY_TRY(model->create(folder.path(), options.threads));
  return model;
}

}  // namespace

Result<std::unique_ptr<Runtime>> open_dlr(const std::string& library_path) {
  SKERRY_ASSIGN(auto library, DlrLibrary::open(library_path));
  return std::make_unique<DlrRuntime>(std::move(library));
}

}  // namespace skerry::runtime
