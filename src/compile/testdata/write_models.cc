// Writes the compiled models of the runtimes' conformance suite into a folder: artifacts are made
// by the build, never committed.
#include <cstdio>
#include <fstream>
#include <string>

#include "compile/compiler.h"
#include "graph/model_file.h"
#include "graph/text.h"

namespace {

using skerry::Code;
using skerry::fail;
using skerry::Result;

// As in src/runtime/testdata; "fail" has an index that is out of range with the suite's inputs.
std::string identity_of(std::string_view type) {
  return "graph \"type\" {\n input %x: " + std::string(type) +
         "[n]\n %y = Identity(%x)\n return %y\n}";
}
constexpr const char* kPair =
    "graph \"pair\" {\n input %a: FP32[n,4]\n input %b: INT64[2]\n %c = Identity(%a)\n"
    " %d = Identity(%b)\n return %c, %d\n}";
constexpr const char* kFail =
    "graph \"fail\" {\n input %a: FP32[n,4]\n input %b: INT64[2]\n %c = Gather(%a, %b) {axis=1}\n"
    " return %c\n}";

Result<void> write_file(const std::string& path, const std::string& artifact) {
  std::ofstream file(path, std::ios::binary);
  file << artifact;
  file.flush();
  if (file) return {};
  return fail(Code::kInternal, path + ": cannot be written");
}

Result<void> write(const std::string& path, const std::string& text) {
  SKERRY_ASSIGN(const auto graph, skerry::graph::parse_text(text));
  SKERRY_ASSIGN(const auto* target, skerry::compile::find_target("native"));
  SKERRY_ASSIGN(const auto compiled, skerry::compile::compile(*graph, {.targets = {target}}));
  return write_file(path, compiled.artifact);
}

// Whole networks whose steps three threads share, whether that pays or not.
Result<void> write_shared(const std::string& path, const std::string& model) {
  SKERRY_ASSIGN(const auto file, skerry::graph::read_model_file(model));
  SKERRY_ASSIGN(const auto* target, skerry::compile::find_target("native"));
  SKERRY_ASSIGN(const auto compiled,
                skerry::compile::compile(
                    *file.graph,
                    {.targets = {target}, .check = false, .max_threads = 3, .shares_all = true}));
  return write_file(path, compiled.artifact);
}

Result<void> write_all(const std::string& directory, const std::string& networks) {
  SKERRY_TRY(
      write_shared(directory + "/shared_speech.so", networks + "/kws_ref_model_float32.tflite"));
  SKERRY_TRY(
      write_shared(directory + "/shared_images.so", networks + "/pretrainedResnet_quant.tflite"));
  SKERRY_TRY(write(directory + "/pair.so", kPair));
  SKERRY_TRY(write(directory + "/fail.so", kFail));
  for (const auto& [name, type] :
       std::initializer_list<std::pair<std::string, std::string>>{{"bool", "BOOL"},
                                                                  {"int8", "INT8"},
                                                                  {"int16", "INT16"},
                                                                  {"int32", "INT32"},
                                                                  {"int64", "INT64"},
                                                                  {"uint8", "UINT8"},
                                                                  {"uint16", "UINT16"},
                                                                  {"uint32", "UINT32"},
                                                                  {"uint64", "UINT64"},
                                                                  {"fp32", "FP32"}}) {
    SKERRY_TRY(write(directory + "/type_" + name + ".so", identity_of(type)));
  }
  return {};
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 3) return 2;
  const auto written = write_all(argv[1], argv[2]);
  if (!written) std::fprintf(stderr, "%s\n", written.error().message().c_str());
  return written ? 0 : 1;
}
