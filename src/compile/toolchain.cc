// Writes the source into a folder of its own, runs the compiler there, reads what it made.
#include "compile/toolchain.h"

#include <fmt/format.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>

#include "io/blocking_process.h"
#include "io/files.h"

namespace skerry::compile {
namespace {

namespace fs = std::filesystem;

constexpr uint64_t kMaxObjectBytes = uint64_t{4} << 30;

// -ffp-contract=off: a multiply-add with one rounding stands only where a kernel asks for it.
constexpr std::string_view kFlags =
    "-std=c++20 -O3 -fPIC -shared -fvisibility=hidden -fno-exceptions -fno-rtti "
    "-fno-strict-aliasing "
    "-ffp-contract=off -fno-math-errno -fno-trapping-math -fno-asynchronous-unwind-tables "
    "-fno-stack-protector -fno-ident -w -s -nostdlib -Wl,--hash-style=gnu -Wl,-z,now "
    "-Wl,-z,noseparate-code -Wl,--build-id=none";

Result<void> write_file(const fs::path& path, std::string_view content) {
  std::error_code ignored;
  fs::create_directories(path.parent_path(), ignored);
  std::ofstream file(path, std::ios::binary);
  file.write(content.data(), static_cast<std::streamsize>(content.size()));
  file.flush();
  if (file) return {};
  return fail(Code::kInternal, path.string() + ": cannot be written");
}

// Goes with what is in it.
class Folder {
 public:
  static Result<Folder> open(const std::string& keep) {
    if (!keep.empty()) return Folder(keep, false);
    const char* base = std::getenv("TMPDIR");
    std::string path = std::string(base != nullptr ? base : "/tmp") + "/skerry-compile-XXXXXX";
    if (::mkdtemp(path.data()) == nullptr) {
      return fail(errno_error("mkdtemp", path, errno));
    }
    return Folder(path, true);
  }
  Folder(Folder&& other) noexcept
      : path_(std::move(other.path_)), is_temporary_(std::exchange(other.is_temporary_, false)) {}
  Folder& operator=(Folder&&) = delete;
  ~Folder() {
    std::error_code ignored;
    if (is_temporary_) fs::remove_all(path_, ignored);
  }
  const fs::path& path() const { return path_; }

 private:
  Folder(fs::path path, bool is_temporary) : path_(std::move(path)), is_temporary_(is_temporary) {}

  fs::path path_;
  bool is_temporary_;
};

std::vector<std::string> words_of(std::string_view text) {
  std::vector<std::string> words;
  while (!text.empty()) {
    const size_t end = std::min(text.find(' '), text.size());
    if (end > 0) words.emplace_back(text.substr(0, end));
    text.remove_prefix(std::min(end + 1, text.size()));
  }
  return words;
}

bool is_program(std::string_view name) {
  const char* path = std::getenv("PATH");
  std::string_view rest = path == nullptr ? "/usr/bin:/bin" : path;
  while (!rest.empty()) {
    const size_t end = std::min(rest.find(':'), rest.size());
    const std::string candidate = std::string(rest.substr(0, end)) + "/" + std::string(name);
    if (::access(candidate.c_str(), X_OK) == 0) return true;
    rest.remove_prefix(std::min(end + 1, rest.size()));
  }
  return false;
}

Result<void> run_compiler(const Target& target, const fs::path& folder,
                          const std::vector<std::string>& more_flags) {
  if (!is_program(target.compiler)) {
    return fail(Code::kFailedPrecondition,
                fmt::format("the compiler for target {} is not installed: {} is in no folder of "
                            "PATH. On Debian: apt install {}",
                            target.name, target.compiler, target.package));
  }
  io::ProcessSpec spec{.argv = {std::string(target.compiler)},
                       .working_directory = folder.string()};
  for (const std::string_view words : {kFlags, target.flags}) {
    for (std::string& word : words_of(words)) spec.argv.push_back(std::move(word));
  }
  spec.argv.insert(spec.argv.end(), more_flags.begin(), more_flags.end());
  for (const char* word : {"-I.", "model.cc", "-o", "model.so", "-lc", "-lgcc"}) {
    spec.argv.emplace_back(word);
  }
  for (const char* name : {"PATH", "TMPDIR", "LANG"}) {
    if (const char* value = std::getenv(name)) spec.environment.emplace_back(name, value);
  }
  SKERRY_ASSIGN(const io::FinishedProcess done, io::run_process(spec, 1 << 16, {}));
  if (done.status.ok()) return {};
  return fail(Code::kInternal, fmt::format("{} refuses the generated code ({}); please report it "
                                           "with the folder that --keep-source leaves:\n{}",
                                           target.compiler, done.status.text(), done.err));
}

}  // namespace

Result<std::string> build_object(const Target& target, const Source& source,
                                 const std::vector<std::string>& more_flags) {
  SKERRY_ASSIGN(const Folder folder, Folder::open(source.keep));
  for (const EmbeddedFile& file : embedded_files()) {
    SKERRY_TRY(write_file(folder.path() / file.path, file.content));
  }
  SKERRY_TRY(write_file(folder.path() / "model.cc", source.code));
  SKERRY_TRY(write_file(folder.path() / "constants.bin", source.constants));
  SKERRY_TRY(run_compiler(target, folder.path(), more_flags));
  io::RealFiles files;
  return io::read_file(files, (folder.path() / "model.so").string(), kMaxObjectBytes);
}

}  // namespace skerry::compile
