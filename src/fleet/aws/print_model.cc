// Prints the field rules of every operation as JSON, for model_test.py. With --match it reads lines
// of JSON, [PATTERN, TEXT], and prints for each whether our function for the pattern takes the
// text.
#include <cstring>
#include <iostream>
#include <nlohmann/json.hpp>
#include <string>

#include "fleet/aws/fields.h"
#include "fleet/aws/patterns.h"
#include "fleet/aws/router.h"

namespace {

using nlohmann::json;
using namespace skerry::fleet;

std::string name_of(aws::In in) {
  constexpr std::string_view kNames[] = {"uri", "querystring", "header", "body", "body"};
  return std::string(kNames[static_cast<size_t>(in)]);
}

json all_operations() {
  json operations = json::array();
  for (const aws::Route& route : aws::all_routes()) {
    json fields = json::object();
    for (const aws::Field& field : route.fields()) {
      json described = aws::describe(*field.shape);
      described["in"] = name_of(field.in);
      described["required"] = field.required;
      fields[std::string(field.name)] = std::move(described);
    }
    operations.push_back({{"service", std::string(route.service)},
                          {"name", std::string(route.name)},
                          {"method", std::string(route.method)},
                          {"path", std::string(route.path)},
                          {"status", route.status},
                          {"fields", std::move(fields)}});
  }
  return operations;
}

bool matches(const json& question) {
  for (const aws::Pattern* pattern : aws::all_patterns()) {
    if (pattern->expression == question[0].get<std::string>()) {
      return pattern->matches(question[1].get<std::string>());
    }
  }
  return false;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc == 2 && std::strcmp(argv[1], "--match") == 0) {
    for (std::string line; std::getline(std::cin, line);) {
      std::cout << (matches(json::parse(line)) ? "yes\n" : "no\n");
    }
    return 0;
  }
  std::cout << all_operations().dump(1) << "\n";
  return 0;
}
