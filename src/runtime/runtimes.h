// The runtimes there are, by the name that model.json uses, and those that a program has.
#pragma once

#include <map>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "runtime/runtime.h"

namespace skerry::runtime {

struct RuntimeKind {
  std::string_view name;
  std::string_view component;  // that brings the vendor's shared library; "" where none is needed
  std::string_view formats;    // of its model files, for people: ".onnx"
  Result<std::unique_ptr<Runtime>> (*open)(const std::string& library_path) = nullptr;
};

std::span<const RuntimeKind> runtime_kinds();

// kInvalidArgument lists the names there are, or says that a library's path is missing or too much.
Result<std::unique_ptr<Runtime>> open_runtime(std::string_view name,
                                              const std::string& library_path);

// The runtimes of a program. A library is loaded when its first model needs it.
class Runtimes {
 public:
  Runtimes();
  ~Runtimes();

  // Before the first get(). kInvalidArgument as open_runtime() has it, kAlreadyExists for a name
  // that is there.
  Result<void> add(std::string_view name, const std::string& library_path);
  // One that is open, under its own name.
  void add(std::unique_ptr<Runtime> runtime);

  // kUnsupported names the option and the component that are missing.
  Result<void> check(std::string_view name) const;
  // Opens it where it is not open yet; what failed is tried again the next time. Thread-safe.
  Result<Runtime*> get(std::string_view name) const;

  std::vector<std::string> names() const;
  // The path of its library; "" for what needs none or is not there.
  std::string library(std::string_view name) const;

 private:
  struct Slot;
  std::map<std::string, std::unique_ptr<Slot>, std::less<>> slots_;
};

}  // namespace skerry::runtime
