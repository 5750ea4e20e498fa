// Skipif: onpath PROGRAM, exists FILE.
#include "nucleus/skip_if.h"

#include <filesystem>
#include <string_view>
#include <system_error>

namespace skerry::nucleus {
namespace {

using Environment = std::vector<std::pair<std::string, std::string>>;

std::string variable(const Environment& environment, std::string_view name) {
  std::string value;
  for (const auto& [key, text] : environment) {
    if (key == name) value = text;  // the last one counts
  }
  return value;
}

bool is_program(io::Files& files, const std::string& path) {
  auto info = files.stat(path);
  if (!info || info->is_directory) return false;
  if (info->is_regular) return (info->mode & 0111) != 0;
  // A link, as /bin/sh is; Files follows none.
  std::error_code error;
  const auto target = std::filesystem::status(path, error);
  using std::filesystem::perms;
  const auto executable = perms::owner_exec | perms::group_exec | perms::others_exec;
  return std::filesystem::is_regular_file(target) &&
         (target.permissions() & executable) != perms::none;
}

std::string absolute(std::string path, const Environment& environment,
                     const std::string& directory) {
  if (path.starts_with("~/")) return variable(environment, "HOME") + path.substr(1);
  return path.starts_with('/') ? path : directory + "/" + path;
}

bool on_path(io::Files& files, const std::string& program, const Environment& environment,
             const std::string& directory) {
  if (program.contains('/')) return is_program(files, absolute(program, environment, directory));
  const std::string path = variable(environment, "PATH");
  std::string_view rest = path;
  while (!rest.empty()) {
    const size_t colon = rest.find(':');
    const std::string each(rest.substr(0, colon));
    if (!each.empty() && is_program(files, each + "/" + program)) return true;
    rest.remove_prefix(colon == std::string_view::npos ? rest.size() : colon + 1);
  }
  return false;
}

}  // namespace

bool holds(io::Files& files, const formats::SkipIf& condition, const Environment& environment,
           const std::string& work_directory) {
  const bool found =
      condition.kind == formats::SkipIf::Kind::kOnPath
          ? on_path(files, condition.argument, environment, work_directory)
          : io::exists(files, absolute(condition.argument, environment, work_directory));
  return found != condition.negated;
}

}  // namespace skerry::nucleus
