// skerry model compile: a model to a shared object for one target.
#include <CLI/CLI.hpp>
#include <filesystem>
#include <fstream>

#include "cli/models/model_compile_report.h"
#include "cli/models/model_graph.h"
#include "cli/models/model_interface.h"
#include "cli/models/model_tools.h"
#include "compile/compiler.h"
#include "compile/toolchain.h"
#include "graph/model_file.h"

namespace skerry::cli {
namespace {

struct CompileCommand {
  std::string model;
  std::vector<std::string> targets = {"native"};
  std::string format = "so";
  std::string out;
  std::string keep_source;
  std::string roofline;
  uint64_t max_memory = uint64_t{1} << 30;
  InterfaceWords interface;
  std::vector<std::string> tunings;
  bool explain = false;
  bool dense = false;
  bool freestanding = false;
  int threads = 1;
};

// Under its own name only once all of it is there.
Result<void> write_artifact(const std::string& path, std::string_view content) {
  const std::string part = path + ".part";
  std::error_code error;
  {
    std::ofstream file(part, std::ios::binary | std::ios::trunc);
    file.write(content.data(), static_cast<std::streamsize>(content.size()));
    file.flush();
    if (!file) {
      std::filesystem::remove(part, error);
      return fail(Code::kInternal, path + ": cannot be written");
    }
  }
  std::filesystem::rename(part, path, error);
  if (!error) return {};
  return fail(Code::kInternal, path + ": cannot be written: " + error.message());
}

// Files of a folder: whole, or not there.
Result<void> write_folder(const std::string& path,
                          const std::vector<std::pair<std::string, std::string_view>>& files) {
  namespace fs = std::filesystem;
  const std::string part = path + ".part";
  const auto write_all = [&]() -> Result<void> {
    for (const auto& [name, content] : files) {
      const fs::path file = fs::path(part) / name;
      std::error_code ignored;
      fs::create_directories(file.parent_path(), ignored);
      SKERRY_TRY(write_artifact(file.string(), content));
    }
    return {};
  };
  std::error_code error;
  fs::remove_all(part, error);
  auto written = write_all();
  if (written) fs::rename(part, path, error);
  if (written && error) written = fail(Code::kInternal, path + ": " + error.message());
  if (!written) fs::remove_all(part, error);
  return written;
}

Result<void> write_compiled(const std::string& path, const std::string& format,
                            const compile::Compiled& compiled) {
  if (format == "so") return write_artifact(path, compiled.artifact);
  std::vector<std::pair<std::string, std::string_view>> files;
  if (format == "dlr") {
    files.emplace_back(compile::kDlrObject, compiled.artifact);
    for (const auto& [name, content] : compiled.dlr) files.emplace_back(name, content);
    return write_folder(path, files);
  }
  files.emplace_back("libmodel.a", compiled.artifact);
  files.emplace_back("model.h", compiled.header);
  const auto headers = compile::embedded_files();
  for (const compile::EmbeddedFile& file : headers) {
    if (file.path.starts_with("skerry/")) files.emplace_back(file.path, file.content);
  }
  return write_folder(path, files);
}

Result<void> run_compile(const Session& session, const CompileCommand& options) {
  std::vector<const compile::Target*> targets;
  for (const std::string& name : options.targets) {
    SKERRY_ASSIGN(targets.emplace_back(), compile::find_target(name));
  }
  if (options.format != "so" && std::filesystem::exists(options.out)) {
    return fail(Code::kInvalidArgument, options.out + " exists: name a folder that does not");
  }
  SKERRY_ASSIGN(const auto model, graph::read_model_file(options.model));
  SKERRY_ASSIGN(auto interface, interface_of(options.interface));
  std::vector<compile::Tuning> tunings;
  for (const std::string& path : options.tunings) {
    SKERRY_ASSIGN(tunings.emplace_back(), compile::read_tuning(path));
  }
  auto compiled =
      compile::compile(*model.graph, {.targets = targets,
                                      .interface = std::move(interface),
                                      .max_arena_bytes = options.max_memory,
                                      .keep_source = options.keep_source,
                                      .may_be_sparse = !options.dense,
                                      .max_threads = options.threads,
                                      .is_static = options.format == "static",
                                      .is_freestanding = options.freestanding,
                                      .for_dlr = options.format == "dlr",
                                      .tunings = std::move(tunings),
                                      .profile = options.explain || !options.roofline.empty()});
  if (!compiled) return fail(compiled.error().with_context(options.model));
  SKERRY_TRY(write_compiled(options.out, options.format, *compiled));
  if (!options.roofline.empty()) {
    if (!compiled->report.profile) {
      return fail(Code::kFailedPrecondition,
                  "there is no roofline: " + compiled->report.not_measured);
    }
    SKERRY_TRY(write_artifact(options.roofline, roofline_svg(compiled->report)));
  }
  print_compile_report(session,
                       {.out = options.out, .targets = targets, .explain = options.explain},
                       compiled->report);
  return {};
}

}  // namespace

void add_model_compile(CLI::App& model, Session& session) {
  auto options = std::make_shared<CompileCommand>();
  CLI::App* command = model.add_subcommand(
      "compile",
      "Compile a model to a shared object that needs no runtime, for one kind of machine");
  command->add_option("MODEL", options->model, "The model")->required();
  std::string targets = "What it is for, or several with commas: native";
  for (const compile::Target& target : compile::targets()) {
    targets.append(", ").append(target.name);
  }
  command->add_option("--target", options->targets, targets)->delimiter(',')->capture_default_str();
  command
      ->add_option(
          "--format", options->format,
          "so: a shared object; static: a folder with a static library and its header; dlr: "
          "a folder that libdlr (SageMaker Neo) loads")
      ->check(CLI::IsMember({"so", "static", "dlr"}))
      ->capture_default_str();
  command->add_option("-o,--out", options->out, "The file, or the folder, to write")->required();
  command->add_flag("--explain", options->explain,
                    "What became of each node, how long it takes here, and the machine's limit");
  command->add_option("--roofline", options->roofline,
                      "Write a picture (SVG) of the steps below the machine's limits to this file");
  command->add_flag("--freestanding", options->freestanding,
                    "Want no function of others, not even memcpy: for boards without a libc");
  command->add_flag("--dense", options->dense,
                    "Multiply by weights that are zero, too: to see what leaving them out saves");
  command
      ->add_option("--threads", options->threads,
                   "Of its caller's that one run may have: steps are shared where that pays, "
                   "measured here; results are the same bits")
      ->check(CLI::Range(1, 64))
      ->capture_default_str();
  command->add_option("--keep-source", options->keep_source,
                      "Leave the generated C++ in this folder, too");
  command
      ->add_option("--max-memory", options->max_memory,
                   "Bytes that the target has for a run; a model that needs more is refused")
      ->capture_default_str();
  add_interface_options(*command, options->interface);
  command->add_option("--tuning", options->tunings,
                      "What skerry model tune has written for a target: the ways of its layers are "
                      "taken where this model has them");
  command->footer(R"(
The file is loaded by skerry-infer (runtime "compiled"), or by any program with skerry/compiled_model.h.
Open dimensions of the inputs become 1, or what --shape says. It needs g++ on this machine (for others than x86-64: Debian's
g++-aarch64-linux-gnu or g++-riscv64-linux-gnu), and nothing where it runs. Of several targets, the best
that the processor can run is chosen when the model is loaded.
Examples:
  skerry model compile keywords.onnx -o keywords.so --explain
  skerry model compile keywords.onnx -o keywords.so --roofline keywords.svg
  skerry model compile detector.onnx --threads 2 -o detector.so
  skerry model compile keywords.onnx --tuning here.tuning -o keywords.so
  skerry model compile keywords.onnx --target cortex-a72 -o keywords.arm.so
  skerry model compile keywords.onnx --target x86-64-v2,x86-64-v3,x86-64-v4-vnni -o keywords.so
  skerry model compile keywords.onnx --format dlr -o keywords-neo
  skerry model compile keywords.onnx --format static --freestanding --target cortex-a53 -o keywords-lib
  skerry model compile silero_vad.onnx --shape input=1,576 --value sr=16000 --state state=stateN -o vad.so)");
  command->callback([&session, options] {
    session.action = [&session, options] { return run_compile(session, *options); };
  });
}

}  // namespace skerry::cli
