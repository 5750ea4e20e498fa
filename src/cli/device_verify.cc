// Works on files alone: no fleet, no running nucleus.
#include "cli/device_verify.h"

#include <nlohmann/json.hpp>

#include "cli/local_files.h"
#include "formats/package.h"

namespace skerry::cli {
namespace {

using formats::PackageChecker;
using nlohmann::json;

Result<std::string> packages_of(io::Files& files, const std::string& root) {
  for (const char* below : {"/packages", "/root/packages"}) {
    if (auto info = files.stat(root + below); info && info->is_directory) return root + below;
  }
  return fail(Code::kNotFound, root +
                                   " has no folder packages: give the root folder of a device "
                                   "that components were deployed to");
}

Result<std::vector<formats::PackageFault>> check(io::Files& files, const std::string& directory) {
  PackageChecker checker(files, directory, PackageChecker::How::kFull);
  for (bool more = true; more;) {
    SKERRY_ASSIGN(more, checker.step());
  }
  return checker.faults();
}

Result<json> look_at(io::Files& files, const std::string& packages, const std::string& component,
                     const std::string& package) {
  const std::string directory = packages + "/" + component + "/" + package;
  auto faults = check(files, directory);
  if (!faults) return fail(faults.error().with_context(directory));
  json found = json::array();
  for (const auto& fault : *faults)
    found.push_back({{"file", fault.path}, {"problem", fault.problem}});
  const size_t at = package.find('@');
  return json{{"component", component},
              {"version", package.substr(0, at)},
              {"digest", at == std::string::npos ? "" : package.substr(at + 1)},
              {"status", faults->empty() ? "WHOLE" : "DAMAGED"},
              {"faults", std::move(found)}};
}

void print(const Output& output, const json& packages) {
  Table table{{"COMPONENT", "VERSION", "STATUS", "FILE", "PROBLEM"}, {}};
  for (const json& package : packages) {
    const std::vector<std::string> start = {package["component"], package["version"],
                                            package["status"]};
    if (package["faults"].empty()) {
      table.rows.push_back(start);
      table.rows.back().resize(table.heading.size());
    }
    for (const json& fault : package["faults"]) {
      table.rows.push_back(start);
      table.rows.back().push_back(fault["file"]);
      table.rows.back().push_back(fault["problem"]);
    }
  }
  output.print_table(table);
}

}  // namespace

Result<void> verify_device(const Output& output, const std::string& root) {
  io::RealFiles files;
  SKERRY_ASSIGN(const std::string directory, packages_of(files, absolute_path(root)));
  SKERRY_ASSIGN(const auto components, files.list(directory));
  json packages = json::array();
  size_t damaged = 0;
  for (const std::string& component : components) {
    SKERRY_ASSIGN(const auto versions, files.list(directory + "/" + component));
    for (const std::string& package : versions) {
      output.progress("reading " + component + " " + package + " …");
      auto looked = look_at(files, directory, component, package);
      output.progress("");
      if (!looked) return fail(looked.error());
      damaged += (*looked)["status"] == "DAMAGED" ? 1 : 0;
      packages.push_back(std::move(*looked));
    }
  }
  if (output.json) {
    output.print_json({{"root", io::parent_of(directory)}, {"packages", packages}});
  } else {
    print(output, packages);
  }
  if (damaged == 0) return {};
  return fail(Code::kCorrupt, std::to_string(damaged) + " of " + std::to_string(packages.size()) +
                                  " packages are damaged: skerryd downloads them again when it is "
                                  "started, or when they are deployed again");
}

}  // namespace skerry::cli
