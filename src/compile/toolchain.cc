// Writes the source into a folder of its own, runs the compiler there, reads what it made.
#include "compile/toolchain.h"

#include <fmt/format.h>
#include <unistd.h>

#include <cstdlib>
#include <fstream>

#include "io/blocking_process.h"
#include "io/files.h"

namespace skerry::compile {
namespace {

namespace fs = std::filesystem;

constexpr uint64_t kMaxObjectBytes = uint64_t{4} << 30;

// -ffp-contract=off: a multiply-add with one rounding stands only where a kernel asks for it.
constexpr std::string_view kCompileFlags =
    "-std=c++20 -O3 -fPIC -fvisibility=hidden -fno-exceptions -fno-rtti -fno-strict-aliasing "
    "-ffp-contract=off -fno-math-errno -fno-trapping-math -fno-asynchronous-unwind-tables "
    "-fno-stack-protector -fno-ident -w";
constexpr std::string_view kLinkFlags =
    "-shared -s -nostdlib -Wl,--hash-style=gnu -Wl,-z,now -Wl,-z,noseparate-code "
    "-Wl,--build-id=none -Wl,--version-script=exports";

// What g++ may call though the code does not. Loops that are these very functions stay loops.
constexpr const char* kMemoryFunctions[] = {"memcpy", "memmove", "memset", "memcmp"};
constexpr std::string_view kMemoryCode = R"(#include <stddef.h>
#define OWN extern "C" __attribute__((visibility("hidden"), optimize("no-tree-loop-distribute-patterns")))
using Byte = unsigned char;
OWN void* skerry_memcpy(void* to, const void* from, size_t count) {
  Byte* a = static_cast<Byte*>(to);
  const Byte* b = static_cast<const Byte*>(from);
  for (size_t i = 0; i < count; ++i) a[i] = b[i];
  return to;
}
OWN void* skerry_memmove(void* to, const void* from, size_t count) {
  Byte* a = static_cast<Byte*>(to);
  const Byte* b = static_cast<const Byte*>(from);
  if (a <= b) {
    for (size_t i = 0; i < count; ++i) a[i] = b[i];
  } else {
    for (size_t i = count; i-- > 0;) a[i] = b[i];
  }
  return to;
}
OWN void* skerry_memset(void* to, int value, size_t count) {
  Byte* a = static_cast<Byte*>(to);
  for (size_t i = 0; i < count; ++i) a[i] = static_cast<Byte>(value);
  return to;
}
OWN int skerry_memcmp(const void* left, const void* right, size_t count) {
  const Byte* a = static_cast<const Byte*>(left);
  const Byte* b = static_cast<const Byte*>(right);
  for (size_t i = 0; i < count; ++i) {
    if (a[i] != b[i]) return a[i] < b[i] ? -1 : 1;
  }
  return 0;
}
)";

Result<void> write_file(const fs::path& path, std::string_view content) {
  std::error_code ignored;
  fs::create_directories(path.parent_path(), ignored);
  std::ofstream file(path, std::ios::binary);
  file.write(content.data(), static_cast<std::streamsize>(content.size()));
  file.flush();
  if (file) return {};
  return fail(Code::kInternal, path.string() + ": cannot be written");
}

void append_words(std::vector<std::string>& words, std::string_view text) {
  while (!text.empty()) {
    const size_t end = std::min(text.find(' '), text.size());
    if (end > 0) words.emplace_back(text.substr(0, end));
    text.remove_prefix(std::min(end + 1, text.size()));
  }
}

io::ProcessSpec process(std::vector<std::string> words, const fs::path& folder) {
  io::ProcessSpec spec{.argv = std::move(words), .working_directory = folder.string()};
  for (const char* name : {"PATH", "TMPDIR", "LANG"}) {
    if (const char* value = std::getenv(name)) spec.environment.emplace_back(name, value);
  }
  return spec;
}

}  // namespace

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

Result<Workshop> Workshop::open(const std::string& keep) {
  std::optional<io::TemporaryFolder> temporary;
  if (keep.empty()) {
    SKERRY_ASSIGN(auto folder, io::TemporaryFolder::make("skerry-compile"));
    temporary.emplace(std::move(folder));
  }
  Workshop place(temporary ? temporary->path() : keep, std::move(temporary));
  for (const EmbeddedFile& file : embedded_files()) {
    SKERRY_TRY(write_file(place.path_ / file.path, file.content));
  }
  return place;
}

Result<void> Workshop::run_tool(const Target& target, const std::string& tool,
                                const std::string& folder, std::span<const std::string> words) {
  if (!is_program(tool)) {
    return fail(Code::kFailedPrecondition,
                fmt::format("the compiler for target {} is not installed: {} is in no folder of "
                            "PATH. On Debian: apt install {}",
                            target.name, tool, target.package));
  }
  std::vector<std::string> command = {tool};
  command.insert(command.end(), words.begin(), words.end());
  SKERRY_ASSIGN(const io::FinishedProcess done,
                io::run_process(process(std::move(command), path_ / folder), 1 << 16, {}));
  if (done.status.ok()) return {};
  return fail(Code::kInternal, fmt::format("{} refuses the generated code ({}); please report it "
                                           "with the folder that --keep-source leaves:\n{}",
                                           tool, done.status.text(), done.err));
}

Result<void> Workshop::run_compiler(const Target& target, const std::string& folder,
                                    std::span<const std::string> words) {
  return run_tool(target, std::string(target.compiler), folder, words);
}

Result<std::string> Workshop::compile(const Source& source,
                                      const std::vector<std::string>& more_flags) {
  const fs::path folder = path_ / source.folder;
  SKERRY_TRY(write_file(folder / "model.cc", source.code));
  SKERRY_TRY(write_file(folder / "constants.bin", source.constants));
  std::vector<std::string> words;
  append_words(words, kCompileFlags);
  append_words(words, source.target->flags);
  if (!source.suffix.empty()) {
    // Templates of one name, but of different instructions, would be taken for the same ones.
    for (const char* name : {"skerry_kernels", "skerry_compiled_model"}) {
      words.push_back(fmt::format("-D{0}={0}{1}", name, source.suffix));
    }
  }
  words.insert(words.end(), more_flags.begin(), more_flags.end());
  for (const char* word : {"-c", "model.cc", "-o", "model.o"}) words.emplace_back(word);
  words.push_back("-I" + fs::relative(path_, folder).string());
  SKERRY_TRY(run_compiler(*source.target, source.folder, words));
  return (fs::path(source.folder) / "model.o").string();
}

Result<std::string> Workshop::compile_glue(const Target& target, const std::string& name,
                                           std::string_view code) {
  SKERRY_TRY(write_file(path_ / (name + ".cc"), code));
  std::vector<std::string> words;
  append_words(words, kCompileFlags);
  for (const std::string& word :
       {std::string("-I."), std::string("-c"), name + ".cc", std::string("-o"), name + ".o"}) {
    words.push_back(word);
  }
  SKERRY_TRY(run_compiler(target, "", words));
  return name + ".o";
}

Result<std::string> Workshop::make_freestanding(const Target& target,
                                                const std::vector<std::string>& objects) {
  // g++ and its companions are called alike: aarch64-linux-gnu-g++, aarch64-linux-gnu-objcopy.
  const std::string tool(target.compiler.substr(0, target.compiler.size() - 3));
  for (const std::string& object : objects) {
    std::vector<std::string> words;
    for (const char* name : kMemoryFunctions) {
      words.push_back(fmt::format("--redefine-sym={0}=skerry_{0}", name));
    }
    words.push_back(object);
    SKERRY_TRY(run_tool(target, tool + "objcopy", "", words));
  }
  return compile_glue(target, "memory", kMemoryCode);
}

Result<std::string> Workshop::link(const Target& target, const std::vector<std::string>& objects,
                                   const std::vector<std::string>& exports,
                                   const std::vector<std::string>& more_flags, bool with_libc) {
  std::string script = "{ global:";
  for (const std::string& name : exports) script += " " + name + ";";
  SKERRY_TRY(write_file(path_ / "exports", script + " local: *; };\n"));
  std::vector<std::string> words;
  append_words(words, kLinkFlags);
  words.insert(words.end(), more_flags.begin(), more_flags.end());
  words.insert(words.end(), objects.begin(), objects.end());
  for (const char* word : {"-o", "model.so", with_libc ? "-lc" : "-Wl,-z,defs", "-lgcc"}) {
    words.emplace_back(word);
  }
  SKERRY_TRY(run_compiler(target, "", words));
  io::RealFiles files;
  return io::read_file(files, (path_ / "model.so").string(), kMaxObjectBytes);
}

Result<std::string> Workshop::link_program(const Target& target, const std::string& name,
                                           const std::vector<std::string>& sources,
                                           const std::vector<std::string>& objects) {
  std::vector<std::string> words;
  append_words(words, "-O2 -w -I. -static");
  // g++ takes the second file of a list for C++ again.
  for (const std::string& source : sources) {
    for (const std::string& word : {std::string("-x"), std::string("c"), source}) {
      words.push_back(word);
    }
  }
  append_words(words, "-x none");
  words.insert(words.end(), objects.begin(), objects.end());
  for (const std::string& word : {std::string("-o"), name}) words.push_back(word);
  SKERRY_TRY(run_compiler(target, "", words));
  return fs::absolute(path_ / name).string();
}

Result<void> Workshop::write(const std::string& path, std::string_view content) {
  return write_file(path_ / path, content);
}

void Workshop::remove(const std::string& path) {
  std::error_code ignored;
  fs::remove_all(path_ / path, ignored);
}

Result<ObjectSizes> Workshop::sizes_of(const std::string& object) {
  io::RealFiles files;
  SKERRY_ASSIGN(const std::string bytes,
                io::read_file(files, (path_ / object).string(), kMaxObjectBytes));
  return object_sizes(bytes);
}

Result<std::string> Workshop::archive(const Target& target,
                                      const std::vector<std::string>& objects) {
  std::vector<std::string> words = {"rcsD", "libmodel.a"};
  words.insert(words.end(), objects.begin(), objects.end());
  const std::string tool(target.compiler.substr(0, target.compiler.size() - 3));
  SKERRY_TRY(run_tool(target, tool + "ar", "", words));
  io::RealFiles files;
  return io::read_file(files, (path_ / "libmodel.a").string(), kMaxObjectBytes);
}

Result<void> Workshop::check_emulated(const Target& target,
                                      const std::vector<std::string>& objects) {
  std::vector<std::string> words;
  append_words(words, "-O1 -w -I. -static -o self_check self_check.c");
  words.insert(words.end(), objects.begin(), objects.end());
  SKERRY_TRY(run_compiler(target, "", words));
  SKERRY_ASSIGN(
      const io::FinishedProcess done,
      io::run_process(process({std::string(target.emulator), "./self_check"}, path_), 1 << 16, {}));
  if (done.status.ok()) return {};
  return fail(Code::kInternal,
              fmt::format("under {} the compiled model does not compute what the reference "
                          "executor does ({}): please report it\n{}{}",
                          target.emulator, done.status.text(), done.out, done.err));
}

}  // namespace skerry::compile
