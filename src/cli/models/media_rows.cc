// Files become rows by a pipeline: the user's, or one that follows from the model's input.
#include "cli/models/media_rows.h"

#include <fmt/format.h>

#include <algorithm>
#include <cctype>
#include <filesystem>
#include <nlohmann/json.hpp>

#include "io/files.h"
#include "io/temporary_folder.h"
#include "pipeline/pipeline.h"
#include "tensor/npy.h"

namespace skerry::cli {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;

constexpr uint64_t kMaxMediaBytes = uint64_t{256} << 20;
constexpr uint64_t kMaxDecodedBytes = uint64_t{4} << 30;

enum class Media { kNone, kImage, kRecording };

Media media_of(const fs::path& file) {
  std::string ending = file.extension();
  std::ranges::transform(ending, ending.begin(), [](unsigned char c) { return std::tolower(c); });
  if (ending == ".png" || ending == ".jpg" || ending == ".jpeg") return Media::kImage;
  return ending == ".wav" ? Media::kRecording : Media::kNone;
}

struct MediaFile {
  std::string path;
  int64_t label = 0;
};

// Sorted by name; hidden ones are none.
struct MediaFolder {
  std::vector<MediaFile> files;
  size_t classes = 0;  // 0: the files lie in the folder itself
};

// All files where `any`, else those that are media.
void add_files(MediaFolder& folder, io::Files& files, const std::string& directory, bool any,
               int64_t label) {
  const auto names = files.list(directory);
  if (!names) return;
  for (const std::string& name : *names) {
    const std::string path = directory + "/" + name;
    const auto info = files.stat(path);
    if (!info || info->is_directory || name.starts_with('.')) continue;
    if (any || media_of(name) != Media::kNone) folder.files.push_back({path, label});
  }
}

MediaFolder find_files(io::Files& files, const std::string& directory, bool any) {
  MediaFolder folder;
  add_files(folder, files, directory, any, 0);
  if (!folder.files.empty()) return folder;
  const auto names = files.list(directory);
  if (!names) return folder;
  for (const std::string& name : *names) {
    const size_t before = folder.files.size();
    if (!name.starts_with('.')) {
      add_files(folder, files, directory + "/" + name, any, static_cast<int64_t>(folder.classes));
    }
    folder.classes += folder.files.size() > before ? 1 : 0;
  }
  return folder;
}

// --- The pipeline -------------------------------------------------------------------------------

std::unexpected<Error> needs_pipeline(const graph::Graph& graph, std::string_view what) {
  const graph::Value& input = *graph.inputs()[0];
  return fail(
      Code::kInvalidArgument,
      fmt::format("{} are no rows of '{}', {}, by themselves: say how they become some in a "
                  "pipeline, --pipeline",
                  what, input.name(), to_string(input.type())));
}

// Decoded, brought to the size of the input, with channels where it has them.
Result<json> image_steps(const graph::Graph& graph) {
  const graph::Value& input = *graph.inputs()[0];
  const auto& shape = input.type().shape;
  const bool numbers =
      tensor::is_float(input.type().element) || input.type().element == graph::DataType::kUint8;
  if (graph.inputs().size() != 1 || !numbers || !shape || shape->size() != 4) {
    return needs_pipeline(graph, "images");
  }
  const auto is_colour = [](const graph::Dim& dim) { return dim.is(1) || dim.is(3); };
  const bool first = is_colour((*shape)[1]);
  const size_t channels = first ? 1 : 3;
  const size_t height = first ? 2 : 1;
  const auto size = [&](size_t i) { return (*shape)[i].is_fixed() ? (*shape)[i].size() : 0; };
  if (!is_colour((*shape)[channels]) || size(height) < 1 || size(height + 1) < 1) {
    return needs_pipeline(graph, "images");
  }
  const std::string name(input.name());
  json steps = {
      {{"step", "decode_image"}, {"in", "file"}, {"out", "pixels"}, {"channels", size(channels)}},
      {{"step", "resize"},
       {"in", "pixels"},
       {"out", first ? "resized" : "row"},
       {"width", size(height + 1)},
       {"height", size(height)}}};
  if (first) {
    steps.push_back(
        {{"step", "transpose"}, {"in", "resized"}, {"out", "row"}, {"order", {2, 0, 1}}});
  }
  return json{{"steps", std::move(steps)}, {"datatype", "UINT8"}, {"shape", {-1, -1, -1}}};
}

// The samples as they are, cut or with silence behind.
Result<json> recording_steps(const graph::Graph& graph) {
  const graph::Value& input = *graph.inputs()[0];
  int64_t count = 1;
  bool fits = graph.inputs().size() == 1 && tensor::is_float(input.type().element) &&
              input.type().shape && input.type().shape->size() >= 2;
  for (size_t i = 1; fits && i < input.type().shape->size(); ++i) {
    const graph::Dim& dim = (*input.type().shape)[i];
    fits = dim.is_fixed() && dim.size() > 0 && count <= (1 << 28) / dim.size();
    if (fits) count *= dim.size();
  }
  if (!fits) return needs_pipeline(graph, "recordings");
  return json{{"steps",
               {{{"step", "decode_wav"}, {"in", "file"}, {"out", "samples"}},
                {{"step", "pad"}, {"in", "samples"}, {"out", "row"}, {"size", count}}}},
              {"datatype", "FP32"},
              {"shape", {count}}};
}

Result<json> pipeline_for(const graph::Graph& graph, Media media) {
  if (graph.inputs().empty()) return fail(Code::kInvalidArgument, "the model has no inputs");
  SKERRY_ASSIGN(json made, media == Media::kImage ? image_steps(graph) : recording_steps(graph));
  return json{
      {"pipeline", 1},
      {"inputs", {{{"name", "file"}, {"datatype", "BYTES"}, {"shape", {1}}}}},
      {"steps", made["steps"]},
      {"outputs", {{{"name", "row"}, {"datatype", made["datatype"]}, {"shape", made["shape"]}}}}};
}

// Files in, one row of each wanted output out.
class Decoder {
 public:
  static Result<Decoder> load(const std::string& path) {
    Decoder made;
    made.runtimes_ = std::make_unique<runtime::Runtimes>();
    made.runtime_ = pipeline::make_pipeline_runtime(*made.runtimes_);
    const fs::path whole(path);
    const std::string folder = whole.has_parent_path() ? whole.parent_path().string() : ".";
    std::map<std::string, std::string, std::less<>> digests;  // its files lie beside it
    io::RealFiles files;
    SKERRY_ASSIGN(const auto names, files.list(folder));
    for (const std::string& name : names) digests[name] = "";
    const runtime::ModelSource source(folder, whole.filename(), std::move(digests));
    auto model = made.runtime_->load(source, {});
    if (!model) return fail(model.error().with_context(path));
    made.model_ = std::move(*model);
    const auto& inputs = made.model_->inputs();
    if (inputs.size() == 1 && inputs[0].type == tensor::DataType::kBytes) return made;
    return fail(Code::kInvalidArgument,
                path + ": it has to take one input, BYTES [1]: the content of a file");
  }

  bool has_output(std::string_view name) const {
    return std::ranges::find(model_->outputs(), name, &tensor::TensorSpec::name) !=
           model_->outputs().end();
  }

  Result<std::vector<tensor::Tensor>> run(std::string_view content,
                                          std::span<const std::string> wanted) {
    tensor::Bytes bytes;
    tensor::append_bytes(bytes, content);
    const std::vector<int64_t> shape = {1};
    const tensor::TensorView file{model_->inputs()[0].name, tensor::DataType::kBytes, shape, bytes};
    return model_->run({&file, 1}, wanted);
  }

 private:
  Decoder() = default;
  std::unique_ptr<runtime::Runtimes> runtimes_;  // outlives the runtime
  std::unique_ptr<runtime::Runtime> runtime_;    // outlives the model
  std::unique_ptr<runtime::Model> model_;
};

// --- Rows ---------------------------------------------------------------------------------------

// Rows one below the other, all of one type and shape.
Result<void> append_row(tensor::Tensor& all, const tensor::Tensor& row, size_t rows) {
  if (rows == 0) {
    all.type = row.type;
    all.shape = row.shape;
    all.shape.insert(all.shape.begin(), 0);
  }
  if (row.type != all.type || !std::ranges::equal(row.shape, std::span(all.shape).subspan(1))) {
    return fail(
        Code::kInvalidArgument,
        fmt::format("it becomes {}, the files before it others of {}",
                    tensor::describe(row.type, row.shape), tensor::describe(all.type, all.shape)));
  }
  if (all.bytes.size() + row.bytes.size() > kMaxDecodedBytes) {
    return fail(Code::kResourceExhausted, "the rows are too large together");
  }
  all.bytes.insert(all.bytes.end(), row.bytes.begin(), row.bytes.end());
  ++all.shape[0];
  return {};
}

Result<void> write_npy(io::Files& files, const std::string& path, const tensor::Tensor& tensor) {
  SKERRY_ASSIGN(const std::string content, tensor::to_npy(tensor.view()));
  return io::write_file_atomic(files, path, content, 0644);
}

Result<void> write_labels(io::Files& files, const std::string& path, const MediaFolder& folder) {
  tensor::Tensor labels{.name = "labels", .type = tensor::DataType::kInt64};
  labels.shape = {static_cast<int64_t>(folder.files.size())};
  for (const MediaFile& file : folder.files) {
    const auto* first = reinterpret_cast<const std::byte*>(&file.label);
    labels.bytes.insert(labels.bytes.end(), first, first + sizeof(file.label));
  }
  return write_npy(files, path, labels);
}

// Which output of the pipeline is for each input.
Result<std::vector<std::string>> outputs_for(const graph::Graph& graph, const Decoder& decoder,
                                             const DataOptions& options) {
  std::vector<std::string> wanted;
  for (const auto& input : graph.inputs()) {
    wanted.emplace_back(options.pipeline.empty() ? "row" : input->name());
    if (decoder.has_output(wanted.back())) continue;
    return fail(Code::kInvalidArgument, fmt::format("{} makes nothing for the input '{}'",
                                                    options.pipeline, input->name()));
  }
  return wanted;
}

Result<void> decode_all(const graph::Graph& graph, const MediaFolder& folder, DataOptions& options,
                        const std::string& decoded) {
  io::RealFiles files;
  SKERRY_TRY(io::make_directories(files, decoded));
  std::string path = options.pipeline;
  if (path.empty()) {
    SKERRY_ASSIGN(const json made, pipeline_for(graph, media_of(folder.files[0].path)));
    path = decoded + "/pipeline.json";
    SKERRY_TRY(io::write_file_atomic(files, path, made.dump(1), 0644));
  }
  SKERRY_ASSIGN(Decoder decoder, Decoder::load(path));
  SKERRY_ASSIGN(const auto wanted, outputs_for(graph, decoder, options));
  std::vector<tensor::Tensor> inputs(wanted.size());
  for (size_t row = 0; row < folder.files.size(); ++row) {
    const std::string& file = folder.files[row].path;
    SKERRY_ASSIGN(const std::string content, io::read_file(files, file, kMaxMediaBytes));
    const auto made = decoder.run(content, wanted);
    if (!made) return fail(made.error().with_context(file));
    for (size_t i = 0; i < inputs.size(); ++i) {
      const auto added = append_row(inputs[i], (*made)[i], row);
      if (!added) return fail(added.error().with_context(file));
    }
  }
  // The only input takes the only file, whatever its name is.
  options.data = inputs.size() == 1 ? decoded + "/row.npy" : decoded;
  for (size_t i = 0; i < inputs.size(); ++i) {
    const std::string name(inputs.size() == 1 ? "row" : graph.inputs()[i]->name());
    SKERRY_TRY(write_npy(files, fmt::format("{}/{}.npy", decoded, name), inputs[i]));
  }
  if (!options.labels.empty() || folder.classes == 0) return {};
  options.labels = decoded + ".labels.npy";
  return write_labels(files, options.labels, folder);
}

}  // namespace

Result<optimise::Dataset> read_rows(const graph::Graph& graph, DataOptions& options,
                                    const std::string& decoded) {
  io::RealFiles files;
  const auto info = files.stat(options.data);
  MediaFolder folder;
  if (info && info->is_directory) {
    folder = find_files(files, options.data, !options.pipeline.empty());
  }
  if (!folder.files.empty()) {
    SKERRY_TRY(decode_all(graph, folder, options, decoded));
  } else if (!options.pipeline.empty()) {
    return fail(Code::kInvalidArgument,
                options.data + ": with --pipeline, the data are files in a folder");
  }
  return optimise::Dataset::read(graph, options.data, options.labels, options.preprocess);
}

Result<optimise::Dataset> read_rows(const graph::Graph& graph, const DataOptions& options) {
  SKERRY_ASSIGN(const auto folder, io::TemporaryFolder::make("skerry-rows"));
  DataOptions decoded = options;
  return read_rows(graph, decoded, folder.path("rows"));
}

}  // namespace skerry::cli
