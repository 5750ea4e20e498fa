// The system's C++ compilers, and emulators for machines that are not here.
#pragma once

#include <filesystem>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "compile/object_sizes.h"
#include "compile/target.h"
#include "io/temporary_folder.h"

namespace skerry::compile {

// The folder in which a model is built.
//
//   auto place = Workshop::open("");
//   place->compile({.target = target, .code = code, .constants = constants}, {});
//   place->link(*target, {"model.o"}, "model.so");
class Workshop {
 public:
  // `keep`: a folder where all of it stays; "": a temporary one, which goes with this.
  static Result<Workshop> open(const std::string& keep);

  struct Source {
    const Target* target = nullptr;
    std::string_view code;       // as emit() makes it
    std::string_view constants;  // constants.bin
    std::string folder;          // below this one; "": this one
    // One of several in an object: its symbols get this at their end.
    std::string suffix;
  };
  // "FOLDER/model.o". kFailedPrecondition names the package where the compiler is missing.
  Result<std::string> compile(const Source& source, const std::vector<std::string>& more_flags);
  // Other code, for any machine with the target's compiler: NAME.o of NAME.cc.
  Result<std::string> compile_glue(const Target& target, const std::string& name,
                                   std::string_view code);
  // Has the objects call memory functions of their own, in one more object, which is returned.
  Result<std::string> make_freestanding(const Target& target,
                                        const std::vector<std::string>& objects);
  // The shared object's bytes. It exports `exports`, and nothing else. Without `with_libc` nothing
  // may be left that others should have: kInternal names it.
  Result<std::string> link(const Target& target, const std::vector<std::string>& objects,
                           const std::vector<std::string>& exports,
                           const std::vector<std::string>& more_flags, bool with_libc = true);
  // A static program of C files that are here, or come with this program, and objects: its path.
  Result<std::string> link_program(const Target& target, const std::string& name,
                                   const std::vector<std::string>& sources,
                                   const std::vector<std::string>& objects);
  // A file more, or a folder less. Paths are below this folder.
  Result<void> write(const std::string& path, std::string_view content);
  void remove(const std::string& path);
  // What one of the objects is made of.
  Result<ObjectSizes> sizes_of(const std::string& object);
  // A static library's bytes.
  Result<std::string> archive(const Target& target, const std::vector<std::string>& objects);
  // Runs the self-check of one model under the target's emulator.
  Result<void> check_emulated(const Target& target, const std::vector<std::string>& objects);

 private:
  Workshop(std::filesystem::path path, std::optional<io::TemporaryFolder> temporary)
      : path_(std::move(path)), temporary_(std::move(temporary)) {}
  Result<void> run_tool(const Target& target, const std::string& tool, const std::string& folder,
                        std::span<const std::string> words);
  Result<void> run_compiler(const Target& target, const std::string& folder,
                            std::span<const std::string> words);

  std::filesystem::path path_;
  std::optional<io::TemporaryFolder> temporary_;
};

// Whether a command is in a folder of PATH.
bool is_program(std::string_view name);

// The headers of kernels/ and the ABI's, by the path that #include names. Made by CMake.
struct EmbeddedFile {
  std::string_view path;
  std::string_view content;
};
std::vector<EmbeddedFile> embedded_files();

}  // namespace skerry::compile
