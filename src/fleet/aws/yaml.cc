// The YAML emitter of yaml-cpp, fed from JSON.
#include "fleet/aws/yaml.h"

#include <yaml-cpp/yaml.h>

#include <nlohmann/json.hpp>

namespace skerry::fleet::aws {
namespace {

using nlohmann::json;

void emit(YAML::Emitter& out, const json& value) {
  switch (value.type()) {
    case json::value_t::object:
      if (value.empty()) out << YAML::Flow;
      out << YAML::BeginMap;
      for (const auto& [key, member] : value.items()) {
        out << YAML::Key << YAML::DoubleQuoted << key << YAML::Value;
        emit(out, member);
      }
      out << YAML::EndMap;
      return;
    case json::value_t::array:
      if (value.empty()) out << YAML::Flow;
      out << YAML::BeginSeq;
      for (const json& element : value) emit(out, element);
      out << YAML::EndSeq;
      return;
    case json::value_t::string:
      out << YAML::DoubleQuoted << value.get_ref<const std::string&>();
      return;
    default:  // numbers, true, false and null are written as in JSON
      out << value.dump();
      return;
  }
}

}  // namespace

std::string yaml_text(const nlohmann::json& value) {
  YAML::Emitter out;
  emit(out, value);
  return std::string(out.c_str(), out.size()) + "\n";
}

}  // namespace skerry::fleet::aws
